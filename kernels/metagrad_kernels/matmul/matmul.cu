// Products of matrices. A block makes an N x N tile of one product, from tiles of DEPTH along k that it keeps in shared
// memory, two of each operand: while one is read the next arrives. Sums run along k in order.
#include "common.cuh"

constexpr int DEPTH = 16;

template <class T, int N, int PAD> struct Tiles {
  T left[2][DEPTH][N + PAD], right[2][DEPTH][N + PAD];
};

// What a thread brings of each tile of an operand, whose number (row, k) is at from[row * outer + k * inner]: two by
// STEPS numbers. Threads side by side take numbers side by side in memory, eight of k or a column of rows.
template <class T, int N, int THREADS, int PAD> struct Share {
  static constexpr int STEPS = 8 * N / THREADS, WIDTH = N + PAD;
  T numbers[2][STEPS];
  const T* from;
  long step, jump, next;
  int row, row_step, rows, k, k_step, k_jump;

  __device__ __forceinline__ Share(const T* start, long outer, long inner, long rows_left) {
    bool along = inner == 1;
    row = along ? threadIdx.x / 8 : threadIdx.x % N;
    k = along ? threadIdx.x % 8 : threadIdx.x / N;
    row_step = along ? THREADS / 8 : 0;
    k_step = along ? 0 : THREADS / N;
    k_jump = along ? 8 : STEPS * k_step;
    rows = min(rows_left, static_cast<long>(N));
    from = start + row * outer + k * inner;
    step = row_step * outer + k_step * inner;
    jump = k_jump * inner;
    next = DEPTH * inner;
  }

  // Reads its numbers of a tile, of whose k so many are left, and goes on to the next tile.
  __device__ __forceinline__ void fetch(long left) {
    int most = min(left, static_cast<long>(DEPTH));
#pragma unroll
    for (int u = 0; u < 2 * STEPS; ++u) {
      int high = u / STEPS, low = u % STEPS;
      bool there = row + low * row_step < rows && k + low * k_step + high * k_jump < most;
      numbers[high][low] = there ? from[low * step + high * jump] : T(0);
    }
    from += next;
  }

  template <class Round> __device__ __forceinline__ void put(T (&tile)[DEPTH][WIDTH], Round round) const {
#pragma unroll
    for (int u = 0; u < 2 * STEPS; ++u) {
      int high = u / STEPS, low = u % STEPS;
      tile[k + low * k_step + high * k_jump][row + low * row_step] = round(numbers[high][low]);
    }
  }
};

// Which tile of which product, and of which strip of k, a block makes.
struct Place {
  long product, row, column, first, last;  // `product` counts those of the strips before
  int matrix;
};

template <int N> __device__ __forceinline__ Place place_of_block(long a, long n, long k, long m, long depth) {
  long across = (m + N - 1) / N, down = (n + N - 1) / N, block = blockIdx.x;
  Place at;
  at.column = block % across * N;
  at.row = block / across % down * N;
  at.product = block / across / down;
  at.matrix = at.product % a;
  at.first = at.product / a * depth;
  at.last = min(at.first + depth, k);
  return at;
}

// The tiles of a strip of k, one after the other: multiply(left, right) adds the products of two.
template <int PAD, class T, int N, int THREADS, class Round, class Multiply>
__device__ __forceinline__ void each_tile(long left, Share<T, N, THREADS, PAD> x, Share<T, N, THREADS, PAD> y, Round round,
                                          Multiply multiply) {
  auto& tiles = shared<Tiles<T, N, PAD>>();
  x.fetch(left);
  y.fetch(left);
  x.put(tiles.left[0], round);
  y.put(tiles.right[0], round);
  __syncthreads();
  for (int half = 0; left > 0; half ^= 1) {
    left -= DEPTH;
    x.fetch(left);
    y.fetch(left);
    multiply(tiles.left[half], tiles.right[half]);
    x.put(tiles.left[half ^ 1], round);
    y.put(tiles.right[half ^ 1], round);
    __syncthreads();
  }
}

// A thread makes 4 x 4 numbers.
template <class T, int N>
__global__ void __launch_bounds__(N * N / 16, N == 64 ? 2 : 6)
    multiply(const T* x, const T* y, T* result, long a, long n, long k, long m, long x_next, long x_row, long x_column,
             long y_next, long y_row, long y_column, long depth) {
  constexpr int PAD = 4, SIDE = N / 4;
  Place at = place_of_block<N>(a, n, k, m, depth);
  Share<T, N, N * N / 16, PAD> left(x + at.matrix * x_next + at.row * x_row + at.first * x_column, x_row, x_column, n - at.row);
  Share<T, N, N * N / 16, PAD> right(y + at.matrix * y_next + at.first * y_row + at.column * y_column, y_column, y_row,
                                m - at.column);
  int row = threadIdx.x / SIDE * 4, column = threadIdx.x % SIDE * 4;
  T sums[4][4] = {};
  auto same = [](T number) { return number; };
  each_tile(at.last - at.first, left, right, same, [&](const T (&p)[DEPTH][N + PAD], const T (&q)[DEPTH][N + PAD]) {
#pragma unroll
    for (int j = 0; j < DEPTH; ++j) {
      T here[4], there[4];
#pragma unroll
      for (int i = 0; i < 4; ++i) here[i] = p[j][row + i], there[i] = q[j][column + i];
#pragma unroll
      for (int i = 0; i < 16; ++i) sums[i / 4][i % 4] += here[i / 4] * there[i % 4];
    }
  });
#pragma unroll
  for (int i = 0; i < 16; ++i) {
    long r = at.row + row + i / 4, c = at.column + column + i % 4;
    if (r < n && c < m) result[(at.product * n + r) * m + c] = sums[i / 4][i % 4];
  }
}

// On tensor cores: a warp makes 32 x 32 numbers, two by four products of 16 x 8 at a time.
template <int N>
__global__ void __launch_bounds__(N * N / 32, 4)
    multiply_tf32(const float* x, const float* y, float* result, long a, long n, long k, long m, long x_next, long x_row,
                  long x_column, long y_next, long y_row, long y_column, long depth) {
  constexpr int PAD = 8;  // so that the lanes' numbers of a fragment lie in 32 banks
  Place at = place_of_block<N>(a, n, k, m, depth);
  Share<float, N, N * N / 32, PAD> left(x + at.matrix * x_next + at.row * x_row + at.first * x_column, x_row, x_column, n - at.row);
  Share<float, N, N * N / 32, PAD> right(y + at.matrix * y_next + at.first * y_row + at.column * y_column, y_column, y_row,
                                m - at.column);
  int warp = threadIdx.x / 32, q = threadIdx.x % 32 / 4, r = threadIdx.x % 4;
  int row = warp / (N / 32) * 32 + q, column = warp % (N / 32) * 32;
  float sums[2][4][4] = {};
  auto round = [](float number) { return round_to_tf32(number); };
  each_tile(at.last - at.first, left, right, round,
                                [&](const float (&p)[DEPTH][N + PAD], const float (&s)[DEPTH][N + PAD]) {
#pragma unroll
    for (int j = 0; j < DEPTH; j += 8) {
      float here[2][4], there[4][2];
#pragma unroll
      for (int i = 0; i < 8; ++i) {
        here[i / 4][i % 4] = p[j + r + i % 4 / 2 * 4][row + i / 4 * 16 + i % 2 * 8];
        there[i / 2][i % 2] = s[j + r + i % 2 * 4][column + i / 2 * 8 + q];
      }
#pragma unroll
      for (int i = 0; i < 8; ++i) mma_16x8x8_tf32(sums[i / 4][i % 4], here[i / 4], there[i % 4]);
    }
  });
#pragma unroll
  for (int i = 0; i < 32; ++i) {
    long at_row = at.row + row + i / 16 * 16 + i % 4 / 2 * 8, at_column = at.column + column + i / 4 % 4 * 8 + 2 * r + i % 2;
    if (at_row < n && at_column < m) result[(at.product * n + at_row) * m + at_column] = sums[i / 16][i / 4 % 4][i % 4];
  }
}
