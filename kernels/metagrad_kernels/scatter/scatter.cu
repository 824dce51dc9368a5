// Rows written where an index says, and read there.
#include "common.cuh"

constexpr int THREADS = 256;

struct Hits {
  int row[THREADS];   // of the block's, for each place of the index at hand that is one of them
  long from[THREADS]; // the row of x that goes there
  int before[THREADS / 32 + 1];
};

// A thread has one number of the result: row `threadIdx.x / columns` and column `threadIdx.x % columns` of the block's.
// The block reads the index in pieces, puts down in order which of its rows they name, and each thread adds up its own.
// Of strip `blockIdx.z` of the index it makes the sums that stand there in `sums`.
template <class T>
__global__ void scatter_add(const T* x, const long* index, T* sums, long n, long size, long width, long depth, int columns) {
  constexpr int U = 4;  // numbers on their way at once
  auto& hits = shared<Hits>();
  int rows = THREADS / columns, thread = threadIdx.x, lane = thread % 32, warp = thread / 32;
  int row = thread / columns;
  long column = blockIdx.y * static_cast<long>(columns) + thread % columns;
  long first = blockIdx.x * static_cast<long>(rows);
  long end = min(n, (blockIdx.z + 1) * depth);
  T sum = T(0);
  for (long begin = blockIdx.z * depth; begin < end; begin += THREADS) {
    long i = begin + thread, place = i < end ? index[i] - first : -1;
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
    for (int k = 0; k < count && column < width; k += U) {
      T some[U];
#pragma unroll
      for (int u = 0; u < U; ++u) {
        bool mine = k + u < count && hits.row[k + u] == row;
        some[u] = mine ? x[hits.from[k + u] * width + column] : T(0);
      }
#pragma unroll
      for (int u = 0; u < U; ++u) sum += some[u];
    }
    __syncthreads();
  }
  if (first + row < size && column < width) sums[((blockIdx.z * size) + first + row) * width + column] = sum;
}

__global__ void last_writer(const long* index, long* found, long n, long size) {
  long i = blockIdx.x * static_cast<long>(blockDim.x) + threadIdx.x;
  if (i < n && index[i] >= 0 && index[i] < size)
    atomicMax(reinterpret_cast<long long*>(found + index[i]), static_cast<long long>(i));
}

// Rows of `width` units each, whatever type they are numbers of; of a row that is not there, all bits are set.
template <class Unit>
__global__ void gather(const Unit* x, const long* index, Unit* rows, long n, long size, long width) {
  long i = blockIdx.x * static_cast<long>(blockDim.x) + threadIdx.x;
  if (i >= n * width) return;
  long k = n * width < 1l << 31 ? static_cast<unsigned>(i) / static_cast<unsigned>(width) : i / width;
  long from = index[k];
  Unit unit;
  if (from >= 0 && from < size) unit = x[from * width + (i - k * width)];
  else for (unsigned byte = 0; byte < sizeof(Unit); ++byte) reinterpret_cast<unsigned char*>(&unit)[byte] = 0xFF;
  rows[i] = unit;
}
