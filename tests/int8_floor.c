/* Products per second of one core, in registers alone: what no INT8 kernel for AVX2 can beat, next to FP32.
 * INT8 without VNNI is vpmaddubsw, vpmaddwd, vpaddd for 32 products; FP32 is one vfmadd for 8. See measure_int8_floor.py. */
#include <immintrin.h>
#include <stdio.h>
#include <time.h>

#define SUMS 12 /* independent, so that no instruction waits for the one before */
#define ROUNDS 4000000L
#define EACH _Pragma("GCC unroll 12") for (int i = 0; i < SUMS; i++)
#define KEEP(x) __asm__ volatile("" : "+x"(x)) /* the compiler may neither drop nor hoist it */

static double now_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + 1e-9 * t.tv_nsec;
}

static double fp32_s(void) {
    __m256 a = _mm256_set1_ps(1e-9f), b = _mm256_set1_ps(1e-9f), sum[SUMS];
    EACH sum[i] = _mm256_setzero_ps();
    double began_s = now_s();
    for (long round = 0; round < ROUNDS; round++) {
        EACH sum[i] = _mm256_fmadd_ps(a, b, sum[i]);
        EACH KEEP(sum[i]);
    }
    return now_s() - began_s;
}

static double int8_s(void) {
    __m256i a = _mm256_set1_epi8(3), b = _mm256_set1_epi8(-2), ones = _mm256_set1_epi16(1), sum[SUMS];
    EACH sum[i] = _mm256_setzero_si256();
    double began_s = now_s();
    for (long round = 0; round < ROUNDS; round++) {
        EACH {
            KEEP(a);
            sum[i] = _mm256_add_epi32(sum[i], _mm256_madd_epi16(_mm256_maddubs_epi16(a, b), ones));
        }
        EACH KEEP(sum[i]);
    }
    return now_s() - began_s;
}

int main(void) {
    for (int turn = 0; turn < 15; turn++) /* products per second: FP32, INT8 */
        printf("%.6g %.6g\n", ROUNDS * SUMS * 8.0 / fp32_s(), ROUNDS * SUMS * 32.0 / int8_s());
    return 0;
}
