/* RISC-V, which counts the instructions that it has retired. */

extern uint32_t stack_top;
int main(void);

static void semihosting(int operation, const void *argument)
{
    register int a0 __asm("a0") = operation;
    register const void *a1 __asm("a1") = argument;
    __asm volatile(".option push\n.option norvc\n.balign 16\n"
                   "slli x0, x0, 0x1f\nebreak\nsrai x0, x0, 7\n.option pop"
                   : "+r"(a0)
                   : "r"(a1)
                   : "memory");
}

static void say(const char *text)
{
    semihosting(4, text); /* SYS_WRITE0 */
}

__attribute__((used)) static void c_begin(void)
{
    main();
    semihosting(0x18, (const void *)0x20026); /* SYS_EXIT, ADP_Stopped_ApplicationExit */
}

/* Set the stack, and switch the floating-point unit on (mstatus.FS). */
__attribute__((naked, section(".begin"))) void begin(void)
{
    __asm volatile("la sp, stack_top\n li t0, 0x2000\n csrs mstatus, t0\n call c_begin");
}

static inline uint32_t ticks(void)
{
    uint32_t count;
    __asm volatile("csrr %0, minstret" : "=r"(count));
    return count;
}

static inline uint32_t elapsed(uint32_t start, uint32_t end)
{
    return end - start;
}

#define INSTRUCTIONS(n)                                                        \
    do {                                                                       \
        uint32_t rounds = (n) / 2;                                             \
        __asm volatile("1: addi %0, %0, -1\n bnez %0, 1b" : "+r"(rounds) : :); \
    } while (0)
