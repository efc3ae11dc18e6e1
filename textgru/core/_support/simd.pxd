"""The kernel table in use. What each kernel computes: kernels/kernels.h."""

from libc.stdint cimport int8_t, int32_t, uint8_t, uint64_t

cdef extern from "kernels.h" nogil:
    const int TEXTGRU_CELLS

    ctypedef struct textgru_cell_f32:
        void (*forward)(
            size_t units, size_t H, const float* x, const float* g, size_t g_gate, const float* b, float** before,
            float* kept, float** after) noexcept nogil
        void (*backward)(
            size_t units, size_t H, const float* dy, float** before, float** after, float* kept,
            float** d) noexcept nogil

    ctypedef struct textgru_cell_f64:
        void (*forward)(
            size_t units, size_t H, const double* x, const double* g, size_t g_gate, const double* b, double** before,
            double* kept, double** after) noexcept nogil
        void (*backward)(
            size_t units, size_t H, const double* dy, double** before, double** after, double* kept,
            double** d) noexcept nogil

    ctypedef struct textgru_kernels_f32:
        void (*exp)(size_t n, const float* x, float* y) noexcept nogil
        void (*sigmoid)(size_t n, const float* x, float* y) noexcept nogil
        void (*tanh)(size_t n, const float* x, float* y) noexcept nogil
        void (*add)(size_t n, const float* x, float* y) noexcept nogil
        double (*sum_squares)(size_t n, const float* x) noexcept nogil
        void (*dropout)(size_t n, uint64_t key, uint64_t start, double p, float* x) noexcept nogil
        textgru_cell_f32 cells[3]
        void (*gru_before_reset)(
            size_t units, size_t H, const float* x, const float* g, const float* b, const float* h_prev,
            float* gates) noexcept nogil
        void (*gru_before_output)(
            size_t units, size_t H, const float* x, const float* g, const float* b, const float* h_prev,
            float* gates,
            float* h) noexcept nogil
        void (*gru_before_backward)(
            size_t units, size_t H, const float* dy, const float* h_prev, float* gates, float* dh) noexcept nogil
        void (*gru_before_backward_reset)(
            size_t units, size_t H, const float* drh, const float* h_prev, float* gates, float* dh) noexcept nogil
        void (*matvec_packed)(
            size_t blocks, size_t n, const float* packed, const float* b, const float* x, float* y) noexcept nogil
        double (*boltzmann)(size_t n, const float* x, double scale, float* y) noexcept nogil
        double (*boltzmann_below)(
            size_t n, const float* x, float largest, double scale, float* y) noexcept nogil
        float (*largest)(size_t n, const float* x) noexcept nogil
        size_t (*first_above)(size_t n, const float* p, double target) noexcept nogil
        void (*mask)(size_t n, const float* key, float least, float* x) noexcept nogil
        size_t (*cut)(
            size_t n, const float* key, const float* weight, double target, float guess, float high, float* k, float* w,
            float* least) noexcept nogil
        size_t (*collect)(
            size_t n, float least, float* key, float* x, float* weight, int32_t* index, bint numbered) noexcept nogil
        void (*penalise)(
            size_t n, const int32_t* count, float repetition, float frequency, float presence, float* x) noexcept nogil
        double (*deviation)(size_t n, const float* x) noexcept nogil
        double (*entropy)(size_t n, const float* x, float largest, const float* p, double total) noexcept nogil
        void (*typicality)(size_t n, const float* x, float shift, float* key) noexcept nogil
        double (*cross_entropy)(size_t n, const float* x, size_t target, double scale, float* dx) noexcept nogil
        void (*adamw)(size_t n, double g_scale, double lr, double beta1, double beta2, double eps, double decay,
            double correction1, double correction2, const float* g, float* m, float* v, float* w) noexcept nogil
        void (*lerp)(size_t n, double weight, const float* x, float* y) noexcept nogil

    ctypedef struct textgru_kernels_f64:
        void (*exp)(size_t n, const double* x, double* y) noexcept nogil
        void (*sigmoid)(size_t n, const double* x, double* y) noexcept nogil
        void (*tanh)(size_t n, const double* x, double* y) noexcept nogil
        void (*add)(size_t n, const double* x, double* y) noexcept nogil
        double (*sum_squares)(size_t n, const double* x) noexcept nogil
        void (*dropout)(size_t n, uint64_t key, uint64_t start, double p, double* x) noexcept nogil
        textgru_cell_f64 cells[3]
        void (*gru_before_reset)(
            size_t units, size_t H, const double* x, const double* g, const double* b, const double* h_prev,
            double* gates) noexcept nogil
        void (*gru_before_output)(
            size_t units, size_t H, const double* x, const double* g, const double* b, const double* h_prev,
            double* gates,
            double* h) noexcept nogil
        void (*gru_before_backward)(
            size_t units, size_t H, const double* dy, const double* h_prev, double* gates, double* dh) noexcept nogil
        void (*gru_before_backward_reset)(
            size_t units, size_t H, const double* drh, const double* h_prev, double* gates, double* dh) noexcept nogil
        void (*matvec_packed)(
            size_t blocks, size_t n, const double* packed, const double* b, const double* x, double* y) noexcept nogil
        double (*boltzmann)(size_t n, const double* x, double scale, double* y) noexcept nogil
        double (*boltzmann_below)(
            size_t n, const double* x, double largest, double scale, double* y) noexcept nogil
        double (*largest)(size_t n, const double* x) noexcept nogil
        size_t (*first_above)(size_t n, const double* p, double target) noexcept nogil
        void (*mask)(size_t n, const double* key, double least, double* x) noexcept nogil
        size_t (*cut)(
            size_t n, const double* key, const double* weight, double target, double guess, double high, double* k,
            double* w, double* least) noexcept nogil
        size_t (*collect)(
            size_t n, double least, double* key, double* x, double* weight, int32_t* index,
            bint numbered) noexcept nogil
        void (*penalise)(
            size_t n, const int32_t* count, double repetition, double frequency, double presence,
            double* x) noexcept nogil
        double (*deviation)(size_t n, const double* x) noexcept nogil
        double (*entropy)(size_t n, const double* x, double largest, const double* p, double total) noexcept nogil
        void (*typicality)(size_t n, const double* x, double shift, double* key) noexcept nogil
        double (*cross_entropy)(size_t n, const double* x, size_t target, double scale, double* dx) noexcept nogil
        void (*adamw)(size_t n, double g_scale, double lr, double beta1, double beta2, double eps, double decay,
            double correction1, double correction2, const double* g, double* m, double* v, double* w) noexcept nogil
        void (*lerp)(size_t n, double weight, const double* x, double* y) noexcept nogil

    ctypedef struct textgru_ahead:
        const char* start "from"
        size_t row
        size_t rows
        size_t columns
        size_t done
        textgru_ahead* next

    ctypedef struct textgru_products:
        size_t unit_k
        void (*pack)(size_t k, size_t n, const float* b, size_t b_row, size_t b_column, void* packed) noexcept nogil
        void (*convert)(size_t rows, size_t k, const float* x, size_t x_row, void* y, size_t y_row) noexcept nogil
        void (*multiply)(
            size_t m, size_t n, size_t k, const void* a, size_t a_row, const void* packed, const float* start,
            size_t start_row, float* c, size_t c_row, bint streams, textgru_ahead* ahead) noexcept nogil
        void (*gemm)(
            size_t m, size_t n, size_t k, const float* a, size_t a_row, size_t a_column, const void* packed,
            const float* start, size_t start_row, float* c, size_t c_row) noexcept nogil

    ctypedef struct textgru_int8:
        float (*quantize)(size_t n, const float* x, uint8_t* q) noexcept nogil
        float (*quantize_row)(size_t n, const float* x, int8_t* q, int32_t* sum) noexcept nogil
        void (*matvec)(
            size_t blocks, size_t quads, const int8_t* packed, const float* scale, const int32_t* offset,
            const float* b, const uint8_t* q, float step, float* y) noexcept nogil
        void (*multiply)(
            size_t m, size_t blocks, size_t quads, const int8_t* packed, const float* scale, const int32_t* offset,
            const float* b, const uint8_t* q, size_t q_row, const float* step, float* y, size_t y_row) noexcept nogil

    ctypedef struct textgru_kernels:
        const char* name
        int int8_is_fast
        int bf16_is_fast
        int wide
        textgru_kernels_f32 f32
        textgru_kernels_f64 f64
        textgru_products products_f32
        textgru_products products_bf16
        textgru_int8 int8

cdef const textgru_kernels* kernels
