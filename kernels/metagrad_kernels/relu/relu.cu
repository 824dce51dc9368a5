// The rectifier and its mask, one thread an element.
#include "common.cuh"

template <class T> __global__ void relu(const T* x, T* y, long n) {
  long i = blockIdx.x * static_cast<long>(blockDim.x) + threadIdx.x;
  if (i < n) y[i] = is_positive(x[i]) || x[i] != x[i] ? x[i] : T(0);  // a NaN stays
}

template <class T> __global__ void masked(const T* y, const T* g, T* result, long n) {
  long i = blockIdx.x * static_cast<long>(blockDim.x) + threadIdx.x;
  if (i < n) result[i] = is_positive(y[i]) ? g[i] : T(0);
}
