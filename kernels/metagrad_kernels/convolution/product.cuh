// A tile of sums of products, A B, whose operands come through shared memory in chunks of k.
#pragma once
#include "common.cuh"

// What a tile is. Its threads are `GROUPS` groups, each of which sums its own part of every chunk; so a tile of few
// elements still has threads enough to hide what memory takes. A thread, or on tensor cores a warp, has HIGH x WIDE sums,
// and STAGES - 1 chunks are on their way while one is multiplied.
template <int ROWS_, int COLUMNS_, int DEPTH_, int HIGH_, int WIDE_, int GROUPS_, int STAGES_> struct Tile {
  static constexpr int ROWS = ROWS_, COLUMNS = COLUMNS_, DEPTH = DEPTH_, HIGH = HIGH_, WIDE = WIDE_, GROUPS = GROUPS_,
                       STAGES = STAGES_;
};

// A chunk of an operand, as it lies in global memory: `ALONG` k, a line for each row, or across it, a line for each k.
// Lines are padded so that neither vectors of 16 bytes nor the fragments of a matrix meet in a bank.
template <class T, int ROWS, int DEPTH, bool ALONG_> struct alignas(16) Chunk {
  static constexpr bool ALONG = ALONG_;
  static constexpr int VECTOR = 16 / sizeof(T), LINES = ALONG ? ROWS : DEPTH, LENGTH = ALONG ? DEPTH : ROWS,
                       STRIDE = LENGTH + (ALONG ? VECTOR : 2 * VECTOR);
  T data[LINES * STRIDE];

  __device__ T* at(int line, int place) { return data + line * STRIDE + place; }
};

template <class T, int N = 16 / sizeof(T)> struct alignas(N * sizeof(T)) Vector { T v[N]; };

// The arithmetic of tensor cores: operands are rounded to TF32, products summed as float.
struct tf32 {};
template <class Arithmetic> struct ElementOf { using T = Arithmetic; };
template <> struct ElementOf<tf32> { using T = float; };
template <class Arithmetic> using Element = typename ElementOf<Arithmetic>::T;

// How `THREADS` threads copy a chunk, W elements at a time: each has one place of a line, in every STEP-th line.
template <class C, int W, int THREADS> struct Sweep {
  static constexpr int PLACES = C::LENGTH / W, STEP = THREADS / PLACES < C::LINES ? THREADS / PLACES : C::LINES,
                       PASSES = C::LINES / STEP;
  static_assert(THREADS >= PLACES && C::LINES % STEP == 0);
  int place, line;
  bool active;

  __device__ Sweep() {
    place = static_cast<int>(threadIdx.x) % PLACES * W;
    line = static_cast<int>(threadIdx.x) / PLACES;
    active = line < STEP;
  }

  template <class F> __device__ __forceinline__ void each(F f) const {
    if (!active) return;
#pragma unroll
    for (int pass = 0; pass < PASSES; ++pass) f(line + pass * STEP);
  }
};

template <int W, class T> __device__ __forceinline__ void put(T* to, const T* from, bool inside) {
  if constexpr (W == 1) copy_later(to, from, inside);
  else copy_16_later(to, from, inside);
}

// Multiplied and added in the operands' own type.
template <class Arithmetic, class Tile_, bool A_ALONG, bool B_ALONG> struct Product {
  using T = Arithmetic;
  using Tile = Tile_;
  using A = Chunk<T, Tile::ROWS, Tile::DEPTH, A_ALONG>;
  using B = Chunk<T, Tile::COLUMNS, Tile::DEPTH, B_ALONG>;
  static constexpr int V = A::VECTOR, ACROSS = Tile::COLUMNS / Tile::WIDE, DOWN = Tile::ROWS / Tile::HIGH,
                       GROUP = ACROSS * DOWN, THREADS = GROUP * Tile::GROUPS, PART = Tile::DEPTH / Tile::GROUPS,
                       WIDTH = B_ALONG ? 1 : V, RESIDENT = 512 / THREADS;
  static_assert(PART % V == 0 && Tile::HIGH % V == 0 && Tile::WIDE % V == 0);

  T sums[Tile::HIGH][Tile::WIDE];
  int group, down, across;

  __device__ Product() {
    int rank = static_cast<int>(threadIdx.x);
    group = rank / GROUP;
    down = rank % GROUP / ACROSS;
    across = rank % ACROSS;
#pragma unroll
    for (int i = 0; i < Tile::HIGH; ++i)
#pragma unroll
      for (int j = 0; j < Tile::WIDE; ++j) sums[i][j] = T(0);
  }

  // The row or column of this thread's i-th: whole vectors of neighbours where the operand lies so.
  template <bool ALONG, int COUNT> static __device__ int place(int rank, int i) {
    return ALONG ? rank + COUNT * i : (i / V * COUNT + rank) * V + i % V;
  }

  __device__ void add(A& a, B& b) {
#pragma unroll
    for (int k = group * PART; k < (group + 1) * PART; k += V) {
      T y[Tile::WIDE][V];
#pragma unroll
      for (int j = 0; j < Tile::WIDE; j += V) read<ACROSS>(&y[j], b, across, j, k);
#pragma unroll
      for (int i = 0; i < Tile::HIGH; i += V) {
        T x[V][V];
        read<DOWN>(x, a, down, i, k);
#pragma unroll
        for (int v = 0; v < V; ++v)
#pragma unroll
          for (int u = 0; u < V; ++u)
#pragma unroll
            for (int j = 0; j < Tile::WIDE; ++j) sums[i + u][j] += x[u][v] * y[j][v];
      }
    }
  }

  // V of the thread's rows or columns from the i-th on, by V numbers of k.
  template <int COUNT, class C> static __device__ void read(T (*x)[V], C& chunk, int rank, int i, int k) {
#pragma unroll
    for (int line = 0; line < V; ++line) {
      const T* from = C::ALONG ? chunk.at(place<true, COUNT>(rank, i + line), k) : chunk.at(k + line, place<false, COUNT>(rank, i));
      auto vector = *reinterpret_cast<const Vector<T>*>(from);
#pragma unroll
      for (int v = 0; v < V; ++v) (C::ALONG ? x[line][v] : x[v][line]) = vector.v[v];
    }
  }

  // f(row, column, values) for each WIDTH neighbours of a row that this thread has.
  template <class F> __device__ void each(F f) {
#pragma unroll
    for (int i = 0; i < Tile::HIGH; ++i)
#pragma unroll
      for (int j = 0; j < Tile::WIDE; j += WIDTH)
        f(place<A_ALONG, DOWN>(down, i), place<B_ALONG, ACROSS>(across, j), &sums[i][j]);
  }
};

// Of tensor cores, by the fragments of mma_16x8x8_tf32.
template <class Tile_, bool A_ALONG, bool B_ALONG> struct Product<tf32, Tile_, A_ALONG, B_ALONG> {
  using T = float;
  using Tile = Tile_;
  using A = Chunk<T, Tile::ROWS, Tile::DEPTH, A_ALONG>;
  using B = Chunk<T, Tile::COLUMNS, Tile::DEPTH, B_ALONG>;
  static constexpr int V = A::VECTOR, ACROSS = Tile::COLUMNS / Tile::WIDE, DOWN = Tile::ROWS / Tile::HIGH,
                       GROUP = 32 * ACROSS * DOWN, THREADS = GROUP * Tile::GROUPS, PART = Tile::DEPTH / Tile::GROUPS,
                       WIDTH = 2, RESIDENT = 512 / THREADS, HIGH = Tile::HIGH / 16, WIDE = Tile::WIDE / 8;
  static_assert(PART % 8 == 0 && Tile::HIGH % 16 == 0 && Tile::WIDE % 8 == 0);

  T sums[HIGH][WIDE][4];
  int group, first_row, first_column, q, r;

  __device__ Product() {
    int rank = static_cast<int>(threadIdx.x), warp = rank % GROUP / 32;
    group = rank / GROUP;
    first_row = warp / ACROSS * Tile::HIGH;
    first_column = warp % ACROSS * Tile::WIDE;
    q = rank % 32 / 4;
    r = rank % 4;
#pragma unroll
    for (int i = 0; i < HIGH; ++i)
#pragma unroll
      for (int j = 0; j < WIDE; ++j)
#pragma unroll
        for (int v = 0; v < 4; ++v) sums[i][j][v] = 0.0f;
  }

  __device__ void add(A& a, B& b) {
#pragma unroll
    for (int k = group * PART; k < (group + 1) * PART; k += 8) {
      float y[WIDE][2];
#pragma unroll
      for (int j = 0; j < WIDE; ++j)
#pragma unroll
        for (int v = 0; v < 2; ++v) y[j][v] = read(b, first_column + 8 * j + q, k + r + v * 4);
#pragma unroll
      for (int i = 0; i < HIGH; ++i) {
        float x[4];
#pragma unroll
        for (int v = 0; v < 4; ++v) x[v] = read(a, first_row + 16 * i + q + v % 2 * 8, k + r + v / 2 * 4);
#pragma unroll
        for (int j = 0; j < WIDE; ++j) mma_16x8x8_tf32(sums[i][j], x, y[j]);
      }
    }
  }

  template <class C> static __device__ float read(C& chunk, int row, int k) {
    return round_to_tf32(C::ALONG ? *chunk.at(row, k) : *chunk.at(k, row));
  }

  template <class F> __device__ void each(F f) {
#pragma unroll
    for (int i = 0; i < HIGH; ++i)
#pragma unroll
      for (int half = 0; half < 2; ++half)
#pragma unroll
        for (int j = 0; j < WIDE; ++j)
          f(first_row + 16 * i + 8 * half + q, first_column + 8 * j + 2 * r, &sums[i][j][2 * half]);
  }
};

template <class P> struct Stages {
  typename P::A a[P::Tile::STAGES];
  typename P::B b[P::Tile::STAGES];
};

// What the groups of threads hand over to the first of them, and last the whole tile.
template <class P> struct Sums {
  static constexpr int WHOLE = P::Tile::GROUPS - 1;
  typename P::T values[P::Tile::GROUPS][P::Tile::ROWS][P::Tile::COLUMNS];
};

// Adds the products of all chunks. `load(a, b)` begins to copy the next one, `arrived(a)` is called when what this thread
// copied of the next one is there. Ends with a barrier: the stages are free.
template <class P, class Load, class Arrived>
__device__ __forceinline__ void accumulate(P& product, Stages<P>& stages, int chunks, Load load, Arrived arrived) {
  constexpr int STAGES = P::Tile::STAGES;
  for (int chunk = 0; chunk < STAGES - 1; ++chunk) {
    if (chunk < chunks) load(stages.a[chunk], stages.b[chunk]);
    close_copies();
  }
  int read = 0, written = STAGES - 1;
  for (int chunk = 0; chunk < chunks; ++chunk) {
    wait_for_copies<STAGES - 2>();
    arrived(stages.a[read]);
    __syncthreads();  // the chunk is there for all, and all are done with the one before, which the next replaces
    if (chunk + STAGES - 1 < chunks) load(stages.a[written], stages.b[written]);
    close_copies();
    product.add(stages.a[read], stages.b[read]);
    read = read + 1 == STAGES ? 0 : read + 1;
    written = written + 1 == STAGES ? 0 : written + 1;
  }
  __syncthreads();
}

// The first group's sums become those of all groups, added in their order. Ends without a barrier.
template <class P> __device__ __forceinline__ void add_groups(P& product, Sums<P>& sums) {
  if constexpr (P::Tile::GROUPS > 1) {
    if (product.group > 0)
      product.each([&](int row, int column, typename P::T* values) {
#pragma unroll
        for (int v = 0; v < P::WIDTH; ++v) sums.values[product.group - 1][row][column + v] = values[v];
      });
    __syncthreads();
    if (product.group == 0)
#pragma unroll
      for (int group = 0; group < P::Tile::GROUPS - 1; ++group)
        product.each([&](int row, int column, typename P::T* values) {
#pragma unroll
          for (int v = 0; v < P::WIDTH; ++v) values[v] += sums.values[group][row][column + v];
        });
  }
}

// Neighbours of a row to memory, `left` of which are inside; as one vector where the rows are WHOLE vectors.
template <int WIDTH, bool WHOLE, class T> __device__ __forceinline__ void store(T* to, const T* values, int left) {
  if constexpr (WHOLE) {
    Vector<T, WIDTH> vector;
#pragma unroll
    for (int v = 0; v < WIDTH; ++v) vector.v[v] = values[v];
    if (left > 0) *reinterpret_cast<Vector<T, WIDTH>*>(to) = vector;
  } else {
#pragma unroll
    for (int v = 0; v < WIDTH; ++v)
      if (v < left) to[v] = values[v];
  }
}
