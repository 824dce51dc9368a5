// Softmax cross-entropy: a row belongs to a team of blockDim.x threads, up to a warp's lanes or else the whole block.
//
// A row is read once for its maximum and its sum of exponentials, and once more by those that need each entry.
#include "common.cuh"

constexpr int WARPS = 16;

template <class T> struct OfWarps { T values[WARPS]; };

template <class T> __device__ __forceinline__ T infinity() { return __uint_as_float(0x7F800000u); }
template <class T> __device__ __forceinline__ T nan() { return __uint_as_float(0x7FC00000u); }
__device__ __forceinline__ float exponential(float x) { return expf(x); }
__device__ __forceinline__ double exponential(double x) { return exp(x); }
__device__ __forceinline__ float logarithm(float x) { return logf(x); }
__device__ __forceinline__ double logarithm(double x) { return log(x); }

template <class T> __device__ __forceinline__ T larger(T x, T y) { return y > x ? y : x; }
template <class T> __device__ __forceinline__ T plus(T x, T y) { return x + y; }

// exp(x - top), and 0 for x = -inf whatever top is.
template <class T> __device__ __forceinline__ T weight(T x, T top) {
  return x == -infinity<T>() ? T(0) : exponential(x - top);
}

// What the threads of a team have, joined in an order that depends on nothing; each of them gets it.
template <class T> __device__ __forceinline__ T joined(T mine, T (*join)(T, T)) {
  for (int lanes = min(blockDim.x, 32u) / 2; lanes > 0; lanes /= 2)
    mine = join(mine, __shfl_xor_sync(EVERY_LANE, mine, lanes));
  if (blockDim.x <= 32) return mine;
  auto& of_warps = shared<OfWarps<T>>();
  __syncthreads();  // until what was joined before is read
  if (threadIdx.x % 32 == 0) of_warps.values[threadIdx.x / 32] = mine;
  __syncthreads();
  mine = of_warps.values[0];
  for (int warp = 1; warp < blockDim.x / 32; ++warp) mine = join(mine, of_warps.values[warp]);
  return mine;
}

// A row's maximum, and the sum of its exponentials below that: NaN where the row has no answer.
template <class T> struct Softmax {
  T top = -infinity<T>(), sum = 0;

  __device__ __forceinline__ Softmax(const T* row, long c) {
    constexpr int AT_ONCE = 4;
    for (long j = threadIdx.x; j < c; j += AT_ONCE * blockDim.x) {
      T x[AT_ONCE], above = top;
      for (int k = 0; k < AT_ONCE; ++k) x[k] = j + k * blockDim.x < c ? row[j + k * blockDim.x] : -infinity<T>();
      for (int k = 0; k < AT_ONCE; ++k) above = larger(above, x[k]);
      sum *= weight(top, above);
      for (int k = 0; k < AT_ONCE; ++k) sum += weight(x[k], above);
      top = above;
    }
    T own = top;
    top = joined(own, larger<T>);
    sum = joined(sum * weight(own, top), plus<T>);
    if (sum == 0) sum = nan<T>();
  }
};

// The row of this thread's team. A team without one does the last row again, because its warp waits for it.
struct Row {
  long at;
  bool exists;
  __device__ explicit Row(long n) : at(blockIdx.x * static_cast<long>(blockDim.y) + threadIdx.y), exists(at < n) {
    if (!exists) at = n - 1;
  }
};

template <class T>
__global__ void losses(const T* __restrict__ logits, const long* __restrict__ labels, T* __restrict__ result, long n,
                       long c) {
  Row row(n);
  const T* x = logits + row.at * c;
  Softmax<T> softmax(x, c);
  if (!row.exists || threadIdx.x) return;
  long label = labels[row.at];
  bool valid = 0 <= label && label < c;
  result[row.at] = valid ? logarithm(softmax.sum) - (x[label] - softmax.top) : nan<T>();
}

template <class T>
__global__ void soft_losses(const T* __restrict__ logits, const T* __restrict__ labels, T* __restrict__ result, long n,
                            long c) {
  Row row(n);
  const T *x = logits + row.at * c, *y = labels + row.at * c;
  Softmax<T> softmax(x, c);
  T total = 0, picked = 0;
  for (long j = threadIdx.x; j < c; j += blockDim.x) {
    total += y[j];
    if (y[j] != 0) picked += y[j] * (x[j] - softmax.top);
  }
  total = joined(total, plus<T>);
  picked = joined(picked, plus<T>);
  if (row.exists && threadIdx.x == 0) result[row.at] = total * logarithm(softmax.sum) - picked;
}

template <class T>
__global__ void gradient(const T* __restrict__ logits, const long* __restrict__ labels, const T* __restrict__ g,
                         T* __restrict__ result, long n, long c) {
  Row row(n);
  const T* x = logits + row.at * c;
  Softmax<T> softmax(x, c);
  if (!row.exists) return;
  long label = labels[row.at];
  T given = 0 <= label && label < c ? g[row.at] : nan<T>(), scale = given / softmax.sum;
  for (long j = threadIdx.x; j < c; j += blockDim.x)
    result[row.at * c + j] = weight(x[j], softmax.top) * scale - (j == label ? given : T(0));
}

template <class T>
__global__ void soft_gradient(const T* __restrict__ logits, const T* __restrict__ labels, const T* __restrict__ g,
                              T* __restrict__ result, long n, long c) {
  Row row(n);
  const T *x = logits + row.at * c, *y = labels + row.at * c;
  Softmax<T> softmax(x, c);
  T total = 0;
  for (long j = threadIdx.x; j < c; j += blockDim.x) total += y[j];
  total = joined(total, plus<T>);
  if (!row.exists) return;
  T given = g[row.at], scale = given * total / softmax.sum;
  for (long j = threadIdx.x; j < c; j += blockDim.x)
    result[row.at * c + j] = weight(x[j], softmax.top) * scale - given * y[j];
}
