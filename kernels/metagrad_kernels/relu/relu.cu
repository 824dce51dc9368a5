// The rectifier and its mask, one thread an element.
#include "common.cuh"

template <class T> __global__ void relu(const T* x, T* y, long n) {
  long i = blockIdx.x * static_cast<long>(blockDim.x) + threadIdx.x;
  if (i < n) y[i] = x[i] <= T(0) ? T(0) : x[i];  // a NaN is not <= 0, and stays
}

template <class T> __global__ void masked(const T* y, const T* g, T* result, long n) {
  long i = blockIdx.x * static_cast<long>(blockDim.x) + threadIdx.x;
  if (i < n) result[i] = y[i] > T(0) ? g[i] : T(0);
}
