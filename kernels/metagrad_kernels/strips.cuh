// Stacks of matrices (a, r, b) taken column by column, for the kernels that sum over r. strips.py cuts them into blocks,
// of which x runs along V columns a thread, y along rows and z along matrices.
#pragma once
#include "common.cuh"

constexpr int MOST_THREADS = 256;

// V neighbours, read and written at once.
template <class T, int V> struct alignas(sizeof(T) * V) Pack { T at[V]; };

// What a thread takes: V columns of a matrix, and every blockDim.y-th row of a strip from its own on.
struct Strip {
  long matrix, column, first, last;
  int index;
  bool inside;  // if not, there are no rows either
};

template <int V> __device__ __forceinline__ Strip strip_of_thread(long a, long r, long b, long depth, int strips) {
  long tiles = (b / V + blockDim.x - 1) / blockDim.x, block = blockIdx.x / strips;
  Strip at;
  at.index = blockIdx.x % strips;
  at.column = (block % tiles * blockDim.x + threadIdx.x) * V;
  at.matrix = block / tiles * blockDim.z + threadIdx.z;
  at.inside = at.column < b && at.matrix < a;
  at.first = at.index * depth;
  at.last = at.inside ? min(at.first + depth, r) : at.first;
  at.first += threadIdx.y;
  return at;
}

template <class T, int V, int N, int U> using Rows = Pack<T, V>[N][U];

// Calls use(values, count, place) for up to U rows at a time, so that U loads of each array are in flight: values[n][u]
// of array n, zeros from row `count` on; `place` is where the first of them starts, and the next are `step` further each.
template <int U, int V, class T, int N, class Use>
__device__ __forceinline__ void each_rows(const Strip& at, long r, long b, const T* const (&arrays)[N], Use use) {
  long step = blockDim.y * b, place = (at.matrix * r + at.first) * b + at.column;
  for (long row = at.first; row < at.last; row += U * blockDim.y, place += U * step) {
    Rows<T, V, N, U> values = {};
    int count = 0;
#pragma unroll
    for (int u = 0; u < U; ++u) {
      if (row + u * static_cast<long>(blockDim.y) >= at.last) continue;
      ++count;
#pragma unroll
      for (int n = 0; n < N; ++n) values[n][u] = *reinterpret_cast<const Pack<T, V>*>(arrays[n] + place + u * step);
    }
    use(values, count, place, step);
  }
}

// Sums of V columns over so many rows.
template <int COUNT, int V> struct Sums {
  double rows, at[COUNT][V];
};

// How two are put together: plain sums add up.
struct Added {
  template <int COUNT, int V> static __device__ __forceinline__ void merge(Sums<COUNT, V>& into, const Sums<COUNT, V>& other) {
    into.rows += other.rows;
#pragma unroll
    for (int k = 0; k < COUNT; ++k)
#pragma unroll
      for (int v = 0; v < V; ++v) into.at[k][v] += other.at[k][v];
  }
};

template <int COUNT, int V> struct Board {
  double at[COUNT * V + 1][MOST_THREADS];
};

// The sums of all threads of a block that stand in the same columns, by a tree over its rows; each of them gets them.
template <class How, int COUNT, int V> __device__ __forceinline__ void merge_rows(Sums<COUNT, V>& mine) {
  auto& board = shared<Board<COUNT, V>>();
  int top = threadIdx.x + threadIdx.z * blockDim.y * blockDim.x;
  auto write = [&](int row) {
    int at = top + row * blockDim.x;
    board.at[COUNT * V][at] = mine.rows;
#pragma unroll
    for (int k = 0; k < COUNT * V; ++k) board.at[k][at] = mine.at[k / V][k % V];
  };
  auto read = [&](int row) {
    int at = top + row * blockDim.x;
    Sums<COUNT, V> sums;
    sums.rows = board.at[COUNT * V][at];
#pragma unroll
    for (int k = 0; k < COUNT * V; ++k) sums.at[k / V][k % V] = board.at[k][at];
    return sums;
  };
  int row = threadIdx.y;
  for (int half = blockDim.y / 2; half > 0; half /= 2) {
    if (row >= half && row < 2 * half) write(row);
    __syncthreads();
    if (row < half) How::merge(mine, read(row + half));
  }
  if (row == 0) write(0);
  __syncthreads();
  mine = read(0);
}

// The sums of a strip are kept at `partial`, (a, strips, COUNT + 1, b), and those of all strips merged in their order.
template <int COUNT, int V>
__device__ __forceinline__ void keep(const Sums<COUNT, V>& sums, const Strip& at, double* partial, long b, int strips) {
  if (!at.inside || threadIdx.y) return;
  partial += (at.matrix * strips + at.index) * (COUNT + 1) * b + at.column;
  for (int v = 0; v < V; ++v) {
    partial[COUNT * b + v] = sums.rows;
    for (int k = 0; k < COUNT; ++k) partial[k * b + v] = sums.at[k][v];
  }
}

template <class How, int COUNT, int V>
__device__ __forceinline__ Sums<COUNT, V> merge_strips(const Strip& at, const double* partial, long b, int strips) {
  Sums<COUNT, V> sums = {};
  if (at.inside)
    for (int strip = threadIdx.y; strip < strips; strip += blockDim.y) {
      const double* from = partial + (at.matrix * strips + strip) * (COUNT + 1) * b + at.column;
      Sums<COUNT, V> other;
      other.rows = from[COUNT * b];
#pragma unroll
      for (int k = 0; k < COUNT * V; ++k) other.at[k / V][k % V] = from[k / V * b + k % V];
      How::merge(sums, other);
    }
  merge_rows<How>(sums);
  return sums;
}
