/* One step of learning of ECG 140-32-16-8-16-32-140 by AIfES 2.2 on a board, beside embedded.py's.
 *
 * Writes, in hexadecimal: ticks of a million instructions, bytes of parameters and of training memory,
 * ticks of a step at batch 1, and the loss before and after 21 steps as floats. AIfES has no mean
 * absolute error, so this is the squared one. From the root of AIfES_for_Arduino, commit 07a4382:
 *
 *   arm-none-eabi-gcc -std=gnu11 --specs=nosys.specs -nostartfiles -mthumb -mcpu=cortex-m4
 *     -mfloat-abi=hard -mfpu=fpv4-sp-d16 -O2 -ffunction-sections -fdata-sections -Wl,--gc-sections
 *     -DBOARD='"BOARDS/cortex_m.h"' [-DADAM] -Isrc with_aifes.c $(find src/basic/base
 *     src/basic/default src/core src/cnn -name '*.c') -T BOARDS/board.ld -Wl,--defsym=flash=0
 *     -Wl,--defsym=ram=536870912 -Wl,--defsym=stack_top=541065216 -o peer -lm
 *   qemu-system-arm -M mps2-an386 -nographic -monitor none -serial none
 *     -semihosting-config enable=on,target=native -icount shift=0 -kernel peer */

#include <stdint.h>
#include BOARD
#include "aifes.h"

#define LAYERS 6

static uint8_t parameters[60000], memory[240000];
static float in[140];

static void say_number(uint32_t number)
{
    char text[] = "00000000\n";
    for (int i = 7; i >= 0; i--, number /= 16) {
        text[i] = "0123456789abcdef"[number % 16];
    }
    say(text);
}

static void say_float(float value)
{
    union {
        float value;
        uint32_t bits;
    } number;
    number.value = value;
    say_number(number.bits);
}

/* Any weights between -1/4 and 1/4: how many instructions a step takes does not depend on them. */
static void fill(ailayer_dense_f32_t *layer)
{
    static uint32_t state = 1;
    float *w = layer->weights.data, *b = layer->bias.data;
    for (int i = 0; i < layer->weights.shape[0] * layer->weights.shape[1]; i++) {
        state = state * 1664525u + 1013904223u;
        w[i] = ((float)(state >> 8) / 16777216.0f - 0.5f) * 0.5f;
    }
    for (int i = 0; i < layer->bias.shape[1]; i++) {
        b[i] = 0.0f;
    }
}

int main(void)
{
    uint32_t start = ticks();
    INSTRUCTIONS(1000000);
    say_number(elapsed(start, ticks()));
    for (int i = 0; i < 140; i++) {
        in[i] = (float)(i * 37 % 100) / 100.0f;
    }
    uint16_t shape[] = {1, 140};
    aitensor_t x = AITENSOR_2D_F32(shape, in), target = AITENSOR_2D_F32(shape, in);

    ailayer_input_f32_t input = AILAYER_INPUT_F32_A(2, shape);
    ailayer_dense_f32_t dense[LAYERS] = {
        AILAYER_DENSE_F32_A(32), AILAYER_DENSE_F32_A(16), AILAYER_DENSE_F32_A(8),
        AILAYER_DENSE_F32_A(16), AILAYER_DENSE_F32_A(32), AILAYER_DENSE_F32_A(140),
    };
    ailayer_relu_f32_t relu[LAYERS - 1];
    ailayer_sigmoid_f32_t sigmoid = AILAYER_SIGMOID_F32_A();
    ailoss_mse_t mse;
    aimodel_t model;
    ailayer_t *y = model.input_layer = ailayer_input_f32_default(&input);
    for (int k = 0; k < LAYERS; k++) {
        y = ailayer_dense_f32_default(&dense[k], y);
        y = k < LAYERS - 1 ? ailayer_relu_f32_default(&relu[k], y)
                           : ailayer_sigmoid_f32_default(&sigmoid, y);
    }
    model.output_layer = y;
    model.loss = ailoss_mse_f32_default(&mse, y);
    aialgo_compile_model(&model);

    uint32_t size = aialgo_sizeof_parameter_memory(&model);
    say_number(size);
    if (size > sizeof parameters) {
        return 1;
    }
    aialgo_distribute_parameter_memory(&model, parameters, size);
    for (int k = 0; k < LAYERS; k++) {
        fill(&dense[k]);
    }
#ifdef ADAM
    aiopti_adam_f32_t adam = AIOPTI_ADAM_F32(0.001f, 0.9f, 0.999f, 1e-8f);
    aiopti_t *optimizer = aiopti_adam_f32_default(&adam);
#else
    aiopti_sgd_f32_t sgd = AIOPTI_SGD_F32(1.0f);
    aiopti_t *optimizer = aiopti_sgd_f32_default(&sgd);
#endif
    size = aialgo_sizeof_training_memory(&model, optimizer);
    say_number(size);
    if (size > sizeof memory) {
        return 1;
    }
    aialgo_schedule_training_memory(&model, optimizer, memory, size);
    aialgo_init_model_for_training(&model, optimizer);

    float before, after;
    aialgo_calc_loss_model_f32(&model, &x, &target, &before);
    start = ticks();
    aialgo_train_model(&model, &x, &target, optimizer, 1);
    say_number(elapsed(start, ticks()));
    for (int i = 0; i < 20; i++) {
        aialgo_train_model(&model, &x, &target, optimizer, 1);
    }
    aialgo_calc_loss_model_f32(&model, &x, &target, &after);
    say_float(before);
    say_float(after);
    return 0;
}
