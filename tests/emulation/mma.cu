// One product on tensor cores, and rounding for it, alone.
#include "common.cuh"

__global__ void product(const float* a, const float* b, float* d) {
  unsigned q = threadIdx.x / 4, r = threadIdx.x % 4;
  float left[4], right[2], sums[4];
  for (unsigned i = 0; i < 4; ++i) {
    left[i] = a[(q + i % 2 * 8) * 8 + r + i / 2 * 4];
    sums[i] = d[(q + i / 2 * 8) * 8 + 2 * r + i % 2];
  }
  for (unsigned i = 0; i < 2; ++i) right[i] = b[(r + i * 4) * 8 + q];
  mma_16x8x8_tf32(sums, left, right);
  for (unsigned i = 0; i < 4; ++i) d[(q + i / 2 * 8) * 8 + 2 * r + i % 2] = sums[i];
}

__global__ void rounded(const float* x, float* y) { y[threadIdx.x] = round_to_tf32(x[threadIdx.x]); }
