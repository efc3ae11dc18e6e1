// oneDNN's own GRU (linear before reset, as PyTorch's), forward and backward with the input's gradient, for
// benchmarks/recurrent_face.py:
//
//     c++ -O2 -fopenmp onednn_gru.cpp -ldnnl -o onednn_gru
//     ./onednn_gru fp32|bf16 INPUTS HIDDEN LAYERS BATCH STEPS
//
// A line on standard input is one pass; its answer is the seconds that it took. The weights are reordered for oneDNN once,
// before all passes.

#include <chrono>
#include <cstdio>
#include <cstring>
#include <iostream>
#include <random>
#include <string>
#include <unordered_map>
#include <vector>

#include <oneapi/dnnl/dnnl.hpp>

using namespace dnnl;
using arguments = std::unordered_map<int, memory>;

static const auto ANY = memory::format_tag::any, TNC = memory::format_tag::tnc, LDNC = memory::format_tag::ldnc;
static const auto DIRECTION = rnn_direction::unidirectional_left2right;

struct layer {
    lbr_gru_forward forward;
    lbr_gru_backward backward;
    arguments ahead, back;
};

static memory zeros(const memory::desc &desc, const engine &cpu)
{
    memory made(desc, cpu);
    std::memset(made.get_data_handle(), 0, desc.get_size());
    return made;
}

// Small random numbers in this layout, of this type.
static memory random(const memory::dims &dims, memory::format_tag tag, const memory::desc &wanted, const engine &cpu,
                     stream &queue)
{
    static std::mt19937 generator(1);
    std::uniform_real_distribution<float> number(-0.05f, 0.05f);
    memory plain({dims, memory::data_type::f32, tag}, cpu), made(wanted, cpu);
    auto *data = static_cast<float *>(plain.get_data_handle());
    for (size_t i = 0; i < plain.get_desc().get_size() / sizeof(float); i++)
        data[i] = number(generator);
    reorder(plain, made).execute(queue, plain, made);
    queue.wait();
    return made;
}

static layer make(int inputs, int hidden, int batch, int steps, memory::data_type type, const memory &x, const memory &dy,
                  memory &y, memory &dx, const engine &cpu, stream &queue)
{
    const auto f32 = memory::data_type::f32;
    const memory::dims state{1, 1, batch, hidden}, ih{1, 1, inputs, 3, hidden}, hh{1, 1, hidden, 3, hidden};
    const memory::dims bias{1, 1, 4, hidden};
    const memory::desc x_desc({steps, batch, inputs}, type, TNC), y_desc({steps, batch, hidden}, type, TNC);
    const memory::desc h_desc(state, type, LDNC), ih_desc(ih, type, ANY), hh_desc(hh, type, ANY);
    const memory::desc bias_desc(bias, f32, memory::format_tag::ldgo);
    const memory::desc dx_desc({steps, batch, inputs}, f32, TNC), dy_desc({steps, batch, hidden}, f32, TNC);
    const memory::desc dh_desc(state, f32, LDNC), dih_desc(ih, f32, ANY), dhh_desc(hh, f32, ANY);
#if DNNL_VERSION_MAJOR >= 3
    lbr_gru_forward::primitive_desc ahead(cpu, prop_kind::forward_training, DIRECTION, x_desc, h_desc, ih_desc, hh_desc,
                                          bias_desc, y_desc, h_desc);
    lbr_gru_backward::primitive_desc back(cpu, prop_kind::backward, DIRECTION, x_desc, h_desc, ih_desc, hh_desc, bias_desc,
                                          y_desc, h_desc, dx_desc, dh_desc, dih_desc, dhh_desc, bias_desc, dy_desc,
                                          dh_desc, ahead);
#else
    lbr_gru_forward::primitive_desc ahead({prop_kind::forward_training, DIRECTION, x_desc, h_desc, ih_desc, hh_desc,
                                           bias_desc, y_desc, h_desc}, cpu);
    lbr_gru_backward::primitive_desc back({prop_kind::backward, DIRECTION, x_desc, h_desc, ih_desc, hh_desc, bias_desc,
                                           y_desc, h_desc, dx_desc, dh_desc, dih_desc, dhh_desc, bias_desc, dy_desc,
                                           dh_desc}, cpu, ahead);
#endif
    const memory h = zeros(h_desc, cpu), workspace = zeros(ahead.workspace_desc(), cpu), b = zeros(bias_desc, cpu);
    y = zeros(y_desc, cpu), dx = zeros(dx_desc, cpu);
    const auto plain = memory::format_tag::ldigo;
    arguments shared{
        {DNNL_ARG_SRC_LAYER, x}, {DNNL_ARG_SRC_ITER, h}, {DNNL_ARG_BIAS, b}, {DNNL_ARG_DST_LAYER, y},
        {DNNL_ARG_DST_ITER, zeros(h_desc, cpu)}, {DNNL_ARG_WORKSPACE, workspace},
    };
    layer made{lbr_gru_forward(ahead), lbr_gru_backward(back), shared, shared};
    made.ahead[DNNL_ARG_WEIGHTS_LAYER] = random(ih, plain, ahead.weights_layer_desc(), cpu, queue);
    made.ahead[DNNL_ARG_WEIGHTS_ITER] = random(hh, plain, ahead.weights_iter_desc(), cpu, queue);
    made.back[DNNL_ARG_WEIGHTS_LAYER] = random(ih, plain, back.weights_layer_desc(), cpu, queue);
    made.back[DNNL_ARG_WEIGHTS_ITER] = random(hh, plain, back.weights_iter_desc(), cpu, queue);
    made.back[DNNL_ARG_DIFF_SRC_LAYER] = dx;
    made.back[DNNL_ARG_DIFF_SRC_ITER] = zeros(dh_desc, cpu);
    made.back[DNNL_ARG_DIFF_WEIGHTS_LAYER] = zeros(back.diff_weights_layer_desc(), cpu);
    made.back[DNNL_ARG_DIFF_WEIGHTS_ITER] = zeros(back.diff_weights_iter_desc(), cpu);
    made.back[DNNL_ARG_DIFF_BIAS] = zeros(bias_desc, cpu);
    made.back[DNNL_ARG_DIFF_DST_LAYER] = dy;
    made.back[DNNL_ARG_DIFF_DST_ITER] = zeros(dh_desc, cpu);
    return made;
}

int main(int count, char **given)
{
    if (count != 7) {
        std::cerr << "usage: onednn_gru fp32|bf16 INPUTS HIDDEN LAYERS BATCH STEPS\n";
        return 2;
    }
    const auto type = std::string(given[1]) == "bf16" ? memory::data_type::bf16 : memory::data_type::f32;
    const int inputs = std::stoi(given[2]), hidden = std::stoi(given[3]), layers = std::stoi(given[4]);
    const int batch = std::stoi(given[5]), steps = std::stoi(given[6]);
    const engine cpu(engine::kind::cpu, 0);
    stream queue(cpu);
    // A layer's gradients come from the layer after it: each one's dx is the dy of the one before.
    std::vector<memory> x(layers + 1), dx(layers + 1);
    std::vector<layer> stack(layers);
    const memory::dims first{steps, batch, inputs};
    x[0] = random(first, TNC, {first, type, TNC}, cpu, queue);
    for (int l = 0; l < layers; l++) {
        const int from = l ? hidden : inputs;
        const memory dy = random({steps, batch, hidden}, TNC, {{steps, batch, hidden}, memory::data_type::f32, TNC}, cpu,
                                 queue);
        stack[l] = make(from, hidden, batch, steps, type, x[l], dy, x[l + 1], dx[l], cpu, queue);
        if (l)
            stack[l - 1].back[DNNL_ARG_DIFF_DST_LAYER] = dx[l];
    }
    for (std::string line; std::getline(std::cin, line);) {
        const auto begin = std::chrono::steady_clock::now();
        for (auto &one : stack)
            one.forward.execute(queue, one.ahead);
        for (int l = layers - 1; l >= 0; l--)
            stack[l].backward.execute(queue, stack[l].back);
        queue.wait();
        std::cout << std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count() << std::endl;
    }
}
