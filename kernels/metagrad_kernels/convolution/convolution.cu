// Convolution and its two gradients as products of matrices whose left operand is gathered from the images: a tile of
// rows (pixels) and columns (channels) a block. A launch has all tiles of all tasks, in one row of blocks.
#include "product.cuh"

// A number in a mixed radix: counting on needs no division. Steps are below the radix.
struct Digits { int low, middle, high; };
struct Radix {
  int low, middle;

  __device__ Digits of(int n) const { return {n % low, n / low % middle, n / low / middle}; }
  __device__ void add(Digits& digits, const Digits& step) const {
    digits.low += step.low;
    digits.middle += step.middle;
    digits.high += step.high;
    if (digits.low >= low) digits.low -= low, ++digits.middle;
    if (digits.middle >= middle) digits.middle -= middle, ++digits.high;
  }
};

// One direction of a gathering: pixel u of the result, at first + u step, is made of the pixels source + u stride +
// k dilation of the operand, by tap + k tap_step of the window.
struct Axis {
  int pixels, first, step, source, stride, dilation, taps, tap, tap_step;
};

__device__ Axis forward(int out, int stride, int before, int dilation, int window) {
  return {out, 0, 1, -before, stride, dilation, window, 0, 1};
}

// Of the gradient of the images: pixels whose distance from the first window is `residue` modulo the stride. The same
// taps reach all of them, so that no product with the zeros between the windows is computed.
__device__ Axis backward(int size, int stride, int before, int dilation, int window, int residue) {
  int first = ((residue - before) % stride + stride) % stride;
  int pixels = first < size ? (size - first - 1) / stride + 1 : 0;
  int a = stride, b = dilation;
  while (b) {
    int rest = a % b;
    a = b;
    b = rest;
  }
  int tap = 0, tap_step = stride / a;
  while (tap < tap_step && static_cast<long>(tap) * dilation % stride != residue) ++tap;
  if (tap == tap_step || tap >= window) return {pixels, first, stride, 0, 1, 0, 0, 0, 1};
  int source = (first + before - tap * dilation) / stride;
  return {pixels, first, stride, source, 1, -(dilation / a), (window - tap - 1) / tap_step + 1, tap, tap_step};
}

// The taps that bring pixels inside the operand to any of the pixels [low, high] of a result.
struct Reach { int first, count; };
__device__ Reach reach(const Axis& axis, int low, int high, int size) {
  Reach found = {0, 0};
  for (int k = 0; k < axis.taps; ++k) {
    int shift = axis.source + k * axis.dilation;
    if (shift + high * axis.stride < 0 || shift + low * axis.stride >= size) continue;
    if (!found.count) found.first = k;
    found.count = k + 1 - found.first;
  }
  return found;
}

// Of the contract: images (tasks, n, h, w, c), windows (kh, kw), results (tasks, n, oh, ow, o).
struct Sizes { int tasks, n, h, w, c, kh, kw, o, oh, ow; };

// Where the first tap of a row's window lies: the element, and the pixel, which may be outside.
struct Row {
  long element;
  int y, x;

  __device__ bool inside(int y_move, int x_move, int high, int wide) const {
    return static_cast<unsigned>(y + y_move) < static_cast<unsigned>(high) &&
           static_cast<unsigned>(x + x_move) < static_cast<unsigned>(wide);
  }
};

constexpr int OUTSIDE = -(1 << 30);
constexpr int MOMENT_ROWS = 32;

template <class P> struct Gathered {
  Row rows[P::Tile::ROWS];
  unsigned places[P::Tile::ROWS];  // the pixel of the result, counted in the task
  union {
    Stages<P> stages;
    Sums<P> sums;
  } in_turn;
};

// Tile `block` of result[pixel] = bias + sum over taps of operand[pixel under the tap] times the tap's matrix. BACK: the
// result is the images, and the matrices are transposed. Rows are in the order (image, pixel), where neighbours share
// what the taps read, or `by_pixel`, where whole tiles are spared the taps that bring only zeros from the border.
// With a `scale`, operand[p] is max(0, operand[p] scale + offset), and outside of the images 0. `moments`, if any, get of
// MOMENT_ROWS rows each column's mean and the sum of its squared deviations from it: (rows, 2, task, column).
template <class P, bool VECTOR, bool BACK, bool RECTIFIED, class T>
__device__ __forceinline__ void gather(const T* operand, const T* scale, const T* offset, const T* weights, const T* bias,
                                       T* result, T* moments, const Sizes& s, const Axis& down, const Axis& along,
                                       unsigned block, bool by_pixel) {
  using Tile = typename P::Tile;
  constexpr int W = VECTOR ? P::V : 1;
  auto& shared_memory = shared<Gathered<P>>();
  auto& rows = shared_memory.rows;
  const int high = BACK ? s.oh : s.h, wide = BACK ? s.ow : s.w, depth = BACK ? s.o : s.c;
  const int result_high = BACK ? s.h : s.oh, result_wide = BACK ? s.w : s.ow, width = BACK ? s.c : s.o;

  const unsigned column_tiles = (width - 1) / Tile::COLUMNS + 1;
  const int first_column = static_cast<int>(block % column_tiles) * Tile::COLUMNS;
  block /= column_tiles;
  const int pixels = down.pixels * along.pixels, all = s.n * pixels;
  const unsigned row_tiles = (all - 1) / Tile::ROWS + 1;
  const long task = block / row_tiles;
  const int first = static_cast<int>(block % row_tiles) * Tile::ROWS, count = min(Tile::ROWS, all - first);
  const int fast = by_pixel ? s.n : pixels, slow = first / fast, rest = first % fast;

  // The taps that this tile needs, by the pixels from its first row to its last.
  const int last_slow = slow + (rest + count - 1) / fast, last_rest = (rest + count - 1) % fast;
  int from = 0, to = pixels - 1;
  if (by_pixel) from = slow, to = last_slow;
  else if (slow == last_slow) from = rest, to = last_rest;
  const int top = from / along.pixels, bottom = to / along.pixels;
  const Reach y_taps = reach(down, top, bottom, high);
  const Reach x_taps = top == bottom ? reach(along, from % along.pixels, to % along.pixels, wide)
                                     : reach(along, 0, along.pixels - 1, wide);

  const long images = task * s.n;
  for (int r = threadIdx.x; r < Tile::ROWS; r += P::THREADS) {
    Row row = {0, OUTSIDE, OUTSIDE};
    if (r < count) {
      const int outer = slow + (rest + r) / fast, inner = (rest + r) % fast;
      const int image = by_pixel ? inner : outer, pixel = by_pixel ? outer : inner;
      const int u = pixel / along.pixels, v = pixel % along.pixels;
      row.y = down.source + u * down.stride + y_taps.first * down.dilation;
      row.x = along.source + v * along.stride + x_taps.first * along.dilation;
      row.element = (((images + image) * high + row.y) * wide + row.x) * depth;
      const unsigned line = static_cast<unsigned>(image) * result_high + down.first + u * down.step;
      shared_memory.places[r] = line * result_wide + along.first + v * along.step;
    }
    rows[r] = row;
  }

  P product;
  if (bias && product.group == 0)
    product.each([&](int, int column, T* values) {
#pragma unroll
      for (int v = 0; v < P::WIDTH; ++v) {
        int n = first_column + column + v;
        if (n < width) values[v] = bias[task * width + n];
      }
    });

  // k counts channels, then the taps of a row of the window, then rows.
  const int steps = y_taps.count * x_taps.count * depth;
  const Radix radix = {max(depth, 1), max(x_taps.count, 1)};
  const Sweep<typename P::A, W, P::THREADS> a_sweep;
  const Sweep<typename P::B, W, P::THREADS> b_sweep;
  Digits a_k = radix.of(a_sweep.place);
  const Digits chunk_step = radix.of(Tile::DEPTH), line_step = radix.of(b_sweep.STEP);
  Digits b_k = radix.of(b_sweep.line);
  const T* matrices = weights + task * s.kh * s.kw * depth * width;
  auto tap_of = [&](const Digits& k) {
    return (down.tap + (y_taps.first + k.high) * down.tap_step) * s.kw + along.tap + (x_taps.first + k.middle) * along.tap_step;
  };
  __syncthreads();

  auto load = [&](typename P::A& a, typename P::B& b) {
    const int y_move = a_k.high * down.dilation, x_move = a_k.middle * along.dilation;
    const T* source = operand + (static_cast<long>(y_move) * wide + x_move) * depth + a_k.low;
    const bool is_k = a_k.high < y_taps.count;
    a_sweep.each([&](int line) {
      const Row row = rows[line];
      put<W>(a.at(line, a_sweep.place), source + row.element, is_k && row.inside(y_move, x_move, high, wide));
    });
    if constexpr (BACK) {
      const T* matrix = matrices + static_cast<long>(tap_of(a_k)) * depth * width + a_k.low;
      b_sweep.each([&](int line) {
        const int n = first_column + line;
        put<W>(b.at(line, b_sweep.place), matrix + static_cast<long>(n) * depth, is_k && n < width);
      });
    } else {
      const int n = first_column + b_sweep.place;
      b_sweep.each([&](int line) {
        const T* matrix = matrices + (static_cast<long>(tap_of(b_k)) * depth + b_k.low) * width + n;
        put<W>(b.at(line, b_sweep.place), matrix, b_k.high < y_taps.count && n < width);
        radix.add(b_k, line_step);
      });
    }
    radix.add(a_k, chunk_step);
  };
  Digits next = radix.of(a_sweep.place);
  auto arrived = [&](typename P::A& a) {
    if constexpr (RECTIFIED) {
      const int y_move = next.high * down.dilation, x_move = next.middle * along.dilation;
      if (next.high < y_taps.count) {
        const auto by = *reinterpret_cast<const Vector<T, W>*>(scale + task * depth + next.low);
        const auto to = *reinterpret_cast<const Vector<T, W>*>(offset + task * depth + next.low);
        a_sweep.each([&](int line) {
          if (!rows[line].inside(y_move, x_move, high, wide)) return;
          auto& x = *reinterpret_cast<Vector<T, W>*>(a.at(line, a_sweep.place));
#pragma unroll
          for (int v = 0; v < W; ++v) {
            const T moved = x.v[v] * by.v[v] + to.v[v];
            x.v[v] = moved <= T(0) ? T(0) : moved;
          }
        });
      }
      radix.add(next, chunk_step);
    }
  };
  auto& in_turn = shared_memory.in_turn;
  accumulate(product, in_turn.stages, (steps + Tile::DEPTH - 1) / Tile::DEPTH, load, arrived);

  add_groups(product, in_turn.sums);
  T* pixels_of_task = result + images * result_high * result_wide * width;
  if (product.group == 0)
    product.each([&](int row, int column, T* values) {
      if (row >= count) return;
      const int n = first_column + column;
      store<P::WIDTH, VECTOR>(pixels_of_task + static_cast<long>(shared_memory.places[row]) * width + n, values, width - n);
    });
  if (moments) {
    constexpr int WHOLE = Sums<P>::WHOLE;
    auto& tile = in_turn.sums.values[WHOLE];
    if (product.group == 0)
      product.each([&](int row, int column, T* values) {
#pragma unroll
        for (int v = 0; v < P::WIDTH; ++v) tile[row][column + v] = values[v];
      });
    __syncthreads();
    static_assert(Tile::ROWS % MOMENT_ROWS == 0);
    for (int i = threadIdx.x; i < Tile::ROWS / MOMENT_ROWS * Tile::COLUMNS; i += P::THREADS) {
      const int column = i % Tile::COLUMNS, from = i / Tile::COLUMNS * MOMENT_ROWS, to = min(from + MOMENT_ROWS, count);
      if (from >= to || first_column + column >= width) continue;
      T mean = T(0), squares = T(0);
      for (int row = from; row < to; ++row) mean += tile[row][column];
      mean /= T(to - from);
      for (int row = from; row < to; ++row) squares += (tile[row][column] - mean) * (tile[row][column] - mean);
      T* part = moments + ((first + from) / MOMENT_ROWS * 2L * s.tasks + task) * width + first_column + column;
      part[0] = mean;
      part[static_cast<long>(s.tasks) * width] = squares;
    }
  }
}

#define GEOMETRY int tasks, int n, int h, int w, int c, int kh, int kw, int o, int oh, int ow, int stride_y, int stride_x, \
                 int top, int left, int dilation_y, int dilation_x

#define BOUNDS(...) __launch_bounds__(__VA_ARGS__::THREADS, __VA_ARGS__::RESIDENT)

template <class Arithmetic, class Tile> using Convolved = Product<Arithmetic, Tile, true, false>;
template <class Arithmetic, class Tile, bool VECTOR, class T = Element<Arithmetic>>
__global__ void BOUNDS(Convolved<Arithmetic, Tile>)
convolution(const T* x, const T* weights, const T* bias, T* y, T* moments, int by_pixel, GEOMETRY) {
  const T* none = nullptr;
  gather<Convolved<Arithmetic, Tile>, VECTOR, false, false>(
      x, none, none, weights, bias, y, moments, {tasks, n, h, w, c, kh, kw, o, oh, ow},
      forward(oh, stride_y, top, dilation_y, kh), forward(ow, stride_x, left, dilation_x, kw), blockIdx.x, by_pixel);
}

// Of max(0, x scale + offset), with scale and offset (tasks, c).
template <class Arithmetic, class Tile, bool VECTOR, class T = Element<Arithmetic>>
__global__ void BOUNDS(Convolved<Arithmetic, Tile>)
convolution_of_rectified(const T* x, const T* scale, const T* offset, const T* weights, const T* bias, T* y, T* moments,
                         int by_pixel, GEOMETRY) {
  gather<Convolved<Arithmetic, Tile>, VECTOR, false, true>(
      x, scale, offset, weights, bias, y, moments, {tasks, n, h, w, c, kh, kw, o, oh, ow},
      forward(oh, stride_y, top, dilation_y, kh), forward(ow, stride_x, left, dilation_x, kw), blockIdx.x, by_pixel);
}

template <class Arithmetic, class Tile> using Returned = Product<Arithmetic, Tile, true, true>;
template <class Arithmetic, class Tile, bool VECTOR, class T = Element<Arithmetic>>
__global__ void BOUNDS(Returned<Arithmetic, Tile>)
input_gradient(const T* g, const T* weights, T* x, int by_pixel, GEOMETRY) {
  // Blocks are in the order of the classes; the first of them have the most taps.
  unsigned block = blockIdx.x;
  T* none = nullptr;
  for (int kind = 0; kind < stride_y * stride_x; ++kind) {
    const Axis down = backward(h, stride_y, top, dilation_y, kh, kind / stride_x);
    const Axis along = backward(w, stride_x, left, dilation_x, kw, kind % stride_x);
    const unsigned rows = (n * down.pixels * along.pixels + Tile::ROWS - 1) / Tile::ROWS;
    const unsigned blocks = tasks * rows * ((c - 1) / Tile::COLUMNS + 1);
    if (block < blocks) {
      gather<Returned<Arithmetic, Tile>, VECTOR, true, false>(g, none, none, weights, none, x, none,
                                                              {tasks, n, h, w, c, kh, kw, o, oh, ow}, down, along, block,
                                                              by_pixel);
      return;
    }
    block -= blocks;
  }
}

template <class P> union Outer {
  Stages<P> stages;
  Sums<P> sums;
};

// result[part, task] (kh kw c, o) = the sum over a part of the task's pixels of what lies under each tap times g there.
template <class Arithmetic, class Tile> using Summed = Product<Arithmetic, Tile, false, false>;
template <class Arithmetic, class Tile, bool VECTOR, class T = Element<Arithmetic>>
__global__ void BOUNDS(Summed<Arithmetic, Tile>)
weight_gradient(const T* x, const T* g, T* result, int part, GEOMETRY) {
  using P = Summed<Arithmetic, Tile>;
  constexpr int W = VECTOR ? P::V : 1;
  auto& shared_memory = shared<Outer<P>>();

  const int rows = kh * kw * c;
  const unsigned column_tiles = (o - 1) / Tile::COLUMNS + 1, row_tiles = (rows - 1) / Tile::ROWS + 1;
  unsigned block = blockIdx.x;
  const int first_column = static_cast<int>(block % column_tiles) * Tile::COLUMNS;
  block /= column_tiles;
  const int first_row = static_cast<int>(block % row_tiles) * Tile::ROWS;
  block /= row_tiles;  // of (part, task)
  const long task = block % tasks;
  const int pixels = n * oh * ow, first = static_cast<int>(block / tasks) * part, steps = min(part, pixels - first);

  const Sweep<typename P::A, W, P::THREADS> a_sweep;
  const Sweep<typename P::B, W, P::THREADS> b_sweep;
  const int row = first_row + a_sweep.place, column = first_column + b_sweep.place;
  const int tap = row / c, channel = row % c;
  const int y_move = tap / kw * dilation_y - top, x_move = tap % kw * dilation_x - left;

  const Radix radix = {ow, oh};
  Digits pixel = radix.of(first + a_sweep.line);
  const Digits line_step = radix.of(a_sweep.STEP);
  const T* images = x + task * n * h * w * c + channel;
  const T* cotangents = g + (task * pixels + first + b_sweep.line) * o + column;
  int a_k = a_sweep.line, b_k = b_sweep.line;

  P product;
  auto load = [&](typename P::A& a, typename P::B& b) {
    a_sweep.each([&](int line) {
      const int y = pixel.middle * stride_y + y_move, x = pixel.low * stride_x + x_move;
      const bool inside = a_k < steps && row < rows && static_cast<unsigned>(y) < static_cast<unsigned>(h) &&
                          static_cast<unsigned>(x) < static_cast<unsigned>(w);
      put<W>(a.at(line, a_sweep.place), images + ((static_cast<long>(pixel.high) * h + y) * w + x) * c, inside);
      radix.add(pixel, line_step);
      a_k += a_sweep.STEP;
    });
    b_sweep.each([&](int line) {
      put<W>(b.at(line, b_sweep.place), cotangents, b_k < steps && column < o);
      cotangents += static_cast<long>(b_sweep.STEP) * o;
      b_k += b_sweep.STEP;
    });
  };
  accumulate(product, shared_memory.stages, (steps + Tile::DEPTH - 1) / Tile::DEPTH, load, [](typename P::A&) {});

  add_groups(product, shared_memory.sums);
  T* matrix = result + static_cast<long>(block) * rows * o;
  if (product.group == 0)
    product.each([&](int down, int across, T* values) {
      const int m = first_row + down, k = first_column + across;
      if (m < rows) store<P::WIDTH, VECTOR>(matrix + static_cast<long>(m) * o + k, values, o - k);
    });
}

// result[i] = the sum of parts[p, i]: a warp adds every SEGMENTS-th part, and the warps' sums are added in order.
constexpr int SEGMENTS = 16;
template <class T> struct Segments { T sums[SEGMENTS][32]; };

template <class T> __global__ void __launch_bounds__(32 * SEGMENTS) add_parts(const T* parts, T* result, int count, long size) {
  auto& segments = shared<Segments<T>>();
  const int lane = threadIdx.x % 32, segment = threadIdx.x / 32;
  const long i = static_cast<long>(blockIdx.x) * 32 + lane;
  T sum = T(0);
  if (i < size)
#pragma unroll 4
    for (int p = segment; p < count; p += SEGMENTS) sum += parts[p * size + i];
  segments.sums[segment][lane] = sum;
  __syncthreads();
  if (segment > 0 || i >= size) return;
  for (int k = 1; k < SEGMENTS; ++k) sum += segments.sums[k][lane];
  result[i] = sum;
}

// Mean and variance of numbers by those of their parts: two have together the squared deviations of each, and those of
// their means (Chan, Golub, LeVeque 1979).
template <class T> struct Moments {
  T count, mean, squares;

  __device__ void add(const Moments& other) {
    if (other.count == T(0)) return;
    const T together = count + other.count, apart = other.mean - mean;
    mean += apart * (other.count / together);
    squares += other.squares + apart * apart * (count * other.count / together);
    count = together;
  }
};
template <class T> struct ManyMoments { Moments<T> of[SEGMENTS][32]; };

template <class T> __global__ void __launch_bounds__(32 * SEGMENTS, 2)
add_moments(const T* moments, T* mean, T* variance, int all, int size) {
  auto& segments = shared<ManyMoments<T>>();
  const int lane = threadIdx.x % 32, segment = threadIdx.x / 32, i = blockIdx.x * 32 + lane;
  Moments<T> found = {T(0), T(0), T(0)};
  if (i < size)
    for (int first = segment * MOMENT_ROWS; first < all; first += SEGMENTS * MOMENT_ROWS) {
      const T* part = moments + first / MOMENT_ROWS * 2L * size + i;
      found.add({T(min(MOMENT_ROWS, all - first)), part[0], part[size]});
    }
  segments.of[segment][lane] = found;
  __syncthreads();
  if (segment > 0 || i >= size) return;
  for (int k = 1; k < SEGMENTS; ++k) found.add(segments.of[k][lane]);
  mean[i] = found.mean;
  variance[i] = found.squares / T(max(all, 1));
}
