// Rows written where an index says.
#include "common.cuh"

constexpr int THREADS = 256;

struct Hits {
  int row[THREADS];   // of the block's, for each place of the index at hand that is one of them
  long from[THREADS]; // the row of x that goes there
  int before[THREADS / 32 + 1];
};

// A thread has one number of the result: row `threadIdx.x / columns` and column `threadIdx.x % columns` of the block's.
// The block reads the index in pieces, puts down in order which of its rows they name, and each thread adds up its own.
template <class T>
__global__ void scatter_add(const T* x, const long* index, T* sums, long n, long size, long width, int columns) {
  auto& hits = shared<Hits>();
  int rows = THREADS / columns, thread = threadIdx.x, lane = thread % 32, warp = thread / 32;
  int row = thread / columns;
  long column = blockIdx.y * static_cast<long>(columns) + thread % columns;
  long first = blockIdx.x * static_cast<long>(rows);
  T sum = T(0);
  for (long begin = 0; begin < n; begin += THREADS) {
    long i = begin + thread, place = i < n ? index[i] - first : -1;
    bool hit = place >= 0 && place < rows;
    unsigned mask = __ballot_sync(EVERY_LANE, hit);
    if (lane == 0) hits.before[warp + 1] = __popc(mask);
    if (thread == 0) hits.before[0] = 0;
    __syncthreads();
    int before = 0, count = 0;
    for (int w = 0; w <= THREADS / 32; ++w) {
      count += hits.before[w];
      if (w == warp) before = count;
    }
    if (hit) {
      int k = before + __popc(mask & ((1u << lane) - 1));
      hits.row[k] = static_cast<int>(place);
      hits.from[k] = i;
    }
    __syncthreads();
    if (column < width)
      for (int k = 0; k < count; ++k)
        if (hits.row[k] == row) sum += x[hits.from[k] * width + column];
    __syncthreads();
  }
  if (first + row < size && column < width) sums[(first + row) * width + column] = sum;
}

__global__ void last_writer(const long* index, long* found, long n) {
  long i = blockIdx.x * static_cast<long>(blockDim.x) + threadIdx.x;
  if (i < n) atomicMax(reinterpret_cast<long long*>(found + index[i]), static_cast<long long>(i));
}
