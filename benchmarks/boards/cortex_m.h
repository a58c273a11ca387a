/* Cortex-M. The SysTick counter counts clock cycles; under QEMU's -icount, which gives each
 * instruction a nanosecond, that is instructions. */

#define SYSTICK ((volatile uint32_t *)0xE000E010) /* control, reload, current */
#define CPACR ((volatile uint32_t *)0xE000ED88)   /* access to the floating-point unit */

extern uint32_t stack_top;
int main(void);

static inline void semihosting(int operation, const void *argument)
{
    register int r0 __asm("r0") = operation;
    register const void *r1 __asm("r1") = argument;
    __asm volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
}

static void say(const char *text)
{
    semihosting(4, text); /* SYS_WRITE0 */
}

void begin(void)
{
#ifdef __ARM_FP
    *CPACR |= 0xFu << 20;
    __asm volatile("dsb\n isb");
#endif
    SYSTICK[1] = 0xFFFFFF;
    SYSTICK[2] = 0;
    SYSTICK[0] = 5; /* enabled, at the clock of the processor */
    main();
    semihosting(0x18, (const void *)0x20026); /* SYS_EXIT, ADP_Stopped_ApplicationExit */
}

__attribute__((section(".vectors"), used)) static const void *const vectors[] = {&stack_top, begin};

static inline uint32_t ticks(void)
{
    return 0xFFFFFF - SYSTICK[2];
}

static inline uint32_t elapsed(uint32_t start, uint32_t end)
{
    return (end - start) & 0xFFFFFF;
}

#define INSTRUCTIONS(n)                                                                         \
    do {                                                                                        \
        uint32_t rounds = (n) / 2;                                                              \
        __asm volatile(".syntax unified\n1: subs %0, %0, #1\n bne 1b" : "+l"(rounds) : : "cc"); \
    } while (0)
