/* Runs an exported model on a board, and writes instructions (as ticks) and results, in hexadecimal.
 *
 * MODEL is the header, SAMPLE a file of numbers; CALL is what is counted, e.g. ae_run(in, out, arena),
 * and LENGTH and ARENA are the model's. A model that learns has WEIGHTS bytes, which INIT copies; its
 * results are its weights. BOARD defines ticks() and elapsed(), INSTRUCTIONS(n), a loop of n
 * instructions, say(text), and what calls main. */

#include <stdint.h>
#include BOARD
#include MODEL

static const float in[] = {
#include SAMPLE
};
static float arena[ARENA / 4 + 1];
#ifdef WEIGHTS
static float weights[WEIGHTS / 4], *const out = weights;
#else
static float out[LENGTH];
#endif

static void say_number(uint32_t number)
{
    char text[] = "00000000\n";
    for (int i = 7; i >= 0; i--, number /= 16) {
        text[i] = "0123456789abcdef"[number % 16];
    }
    say(text);
}

int main(void)
{
    union {
        float value;
        uint32_t bits;
    } y;
    uint32_t start = ticks();
    INSTRUCTIONS(1000000);
    say_number(elapsed(start, ticks()));
#ifdef WEIGHTS
    INIT(weights);
#endif
    start = ticks();
    for (int i = 0; i < REPEATS; i++) {
        CALL;
    }
    say_number(elapsed(start, ticks()));
    for (int i = 0; i < LENGTH; i++) {
        y.value = out[i];
        say_number(y.bits);
    }
    return 0;
}
