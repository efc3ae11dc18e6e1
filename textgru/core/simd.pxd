"""The kernel table in use. What each kernel computes: kernels/kernels.h."""

from libc.stdint cimport uint64_t

cdef extern from "kernels.h" nogil:
    ctypedef struct textgru_kernels_f32:
        void (*exp)(size_t n, const float* x, float* y) noexcept nogil
        void (*sigmoid)(size_t n, const float* x, float* y) noexcept nogil
        void (*tanh)(size_t n, const float* x, float* y) noexcept nogil
        void (*add)(size_t n, const float* x, float* y) noexcept nogil
        double (*sum_squares)(size_t n, const float* x) noexcept nogil
        void (*dropout)(size_t n, uint64_t key, uint64_t start, double p, float* x) noexcept nogil
        void (*gru_forward)(
            size_t H, const float* x, const float* g, const float* b, const float* h_prev, float* gates,
            float* h) noexcept nogil
        void (*gru_backward)(size_t H, const float* dy, const float* h_prev, float* gates, float* dh) noexcept nogil
        void (*gru_before_reset)(
            size_t H, const float* x, const float* g, const float* b, const float* h_prev, float* gates) noexcept nogil
        void (*gru_before_output)(
            size_t H, const float* x, const float* g, const float* b, const float* h_prev, float* gates,
            float* h) noexcept nogil
        void (*gru_before_backward)(
            size_t H, const float* dy, const float* h_prev, float* gates, float* dh) noexcept nogil
        void (*gru_before_backward_reset)(
            size_t H, const float* drh, const float* h_prev, float* gates, float* dh) noexcept nogil
        void (*matvec_packed)(
            size_t blocks, size_t n, const float* packed, const float* b, const float* x, float* y) noexcept nogil
        double (*boltzmann)(size_t n, const float* x, double scale, float* y) noexcept nogil
        double (*cross_entropy)(size_t n, const float* x, size_t target, double scale, float* dx) noexcept nogil
        void (*adamw)(size_t n, double g_scale, double lr, double beta1, double beta2, double eps, double decay,
            double correction1, double correction2, const float* g, float* m, float* v, float* w) noexcept nogil

    ctypedef struct textgru_kernels_f64:
        void (*exp)(size_t n, const double* x, double* y) noexcept nogil
        void (*sigmoid)(size_t n, const double* x, double* y) noexcept nogil
        void (*tanh)(size_t n, const double* x, double* y) noexcept nogil
        void (*add)(size_t n, const double* x, double* y) noexcept nogil
        double (*sum_squares)(size_t n, const double* x) noexcept nogil
        void (*dropout)(size_t n, uint64_t key, uint64_t start, double p, double* x) noexcept nogil
        void (*gru_forward)(
            size_t H, const double* x, const double* g, const double* b, const double* h_prev, double* gates,
            double* h) noexcept nogil
        void (*gru_backward)(size_t H, const double* dy, const double* h_prev, double* gates, double* dh) noexcept nogil
        void (*gru_before_reset)(
            size_t H, const double* x, const double* g, const double* b, const double* h_prev,
            double* gates) noexcept nogil
        void (*gru_before_output)(
            size_t H, const double* x, const double* g, const double* b, const double* h_prev, double* gates,
            double* h) noexcept nogil
        void (*gru_before_backward)(
            size_t H, const double* dy, const double* h_prev, double* gates, double* dh) noexcept nogil
        void (*gru_before_backward_reset)(
            size_t H, const double* drh, const double* h_prev, double* gates, double* dh) noexcept nogil
        void (*matvec_packed)(
            size_t blocks, size_t n, const double* packed, const double* b, const double* x, double* y) noexcept nogil
        double (*boltzmann)(size_t n, const double* x, double scale, double* y) noexcept nogil
        double (*cross_entropy)(size_t n, const double* x, size_t target, double scale, double* dx) noexcept nogil
        void (*adamw)(size_t n, double g_scale, double lr, double beta1, double beta2, double eps, double decay,
            double correction1, double correction2, const double* g, double* m, double* v, double* w) noexcept nogil

    ctypedef struct textgru_kernels:
        const char* name
        textgru_kernels_f32 f32
        textgru_kernels_f64 f64
        void (*gemm_packed)(
            size_t rows, size_t blocks, size_t k, const float* a, size_t lda, const float* packed, float* c,
            size_t ldc, int accumulate) noexcept nogil

cdef const textgru_kernels* kernels
