// The error function, one thread a number, by CUDA's own, which is documented to be within 2 units in the last place.
__device__ __forceinline__ float value(float x) { return erff(x); }
__device__ __forceinline__ double value(double x) { return erf(x); }

template <class T> __global__ void erf_of(const T* x, T* y, long n) {
  long i = blockIdx.x * static_cast<long>(blockDim.x) + threadIdx.x;
  if (i < n) y[i] = value(x[i]);
}
