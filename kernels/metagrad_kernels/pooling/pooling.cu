// Pooling: a thread makes V channels that lie side by side, of a window or, in the transposes, of a pixel.
//
// The transposes are gathers too, over the windows that cover the pixel, in their order: no two threads add to one number.
#include "common.cuh"

template <class T, int V> struct alignas(V * sizeof(T)) Pack { T at[V]; };

template <int V, class T> __device__ __forceinline__ Pack<T, V> load(const T* x, long at) {
  return *reinterpret_cast<const Pack<T, V>*>(x + at);
}
template <int V, class T> __device__ __forceinline__ void store(T* x, long at, const Pack<T, V>& pack) {
  *reinterpret_cast<Pack<T, V>*>(x + at) = pack;
}

// `body(image, row, column, channel, at)` for all that this thread makes of a result (n, rows, columns, channels). A
// block has blockDim.y rows of it; blocks along y share what of a row is longer than blockDim.x.
template <int V, class Body>
__device__ __forceinline__ void each(long n, int rows, int columns, int channels, Body body) {
  long line = blockIdx.x * static_cast<long>(blockDim.y) + threadIdx.y;
  if (line >= n * rows) return;
  long image = line / rows;
  long packs = channels / V, length = columns * packs;
  for (long k = blockIdx.y * static_cast<long>(blockDim.x) + threadIdx.x; k < length;
       k += static_cast<long>(gridDim.y) * blockDim.x) {
    int column = static_cast<int>(k / packs);
    body(image, static_cast<int>(line - image * rows), column, (k - column * packs) * V, (line * length + k) * V);
  }
}

// The window of a row (or column) i of windows in an image of `size`: from which cell to before which it is inside.
struct Span {
  int start, first, last;
  __device__ Span(int i, int stride, int padding, int window, int size)
      : start(i * stride - padding), first(max(-start, 0)), last(min(window, size - start)) {}
};

// The windows that cover a row (or column) of pixels: from `first` to before `last`.
struct Cover {
  int at, first, last;
  __device__ Cover(int pixel, int stride, int padding, int window, int windows)
      : at(pixel + padding), first(at < window ? 0 : (at - window) / stride + 1), last(min(at / stride + 1, windows)) {}
};

// Floats are compared as integers of the same order, because CuPy compiles comparisons that take denormals for zero.
__device__ __forceinline__ double ordered(double x) { return x; }
__device__ __forceinline__ int ordered(float x) {
  int bits = static_cast<int>(__float_as_uint(x));
  return bits < 0 ? static_cast<int>(0x80000000u) - bits : bits;
}

template <class T, class I, int V>
__global__ __launch_bounds__(128, 8) void max_pool(const T* x, T* values, I* indices, long n, int h, int w, int oh, int ow, int c, int kh, int kw,
                         int sh, int sw, int top, int left) {
  each<V>(n, oh, ow, c, [&](long image, int i, int j, long channel, long at) {
    Span rows(i, sh, top, kh, h), columns(j, sw, left, kw, w);
    auto pixels = [&](int a, int b) {
      return load<V>(x, ((image * h + rows.start + a) * w + columns.start + b) * c + channel);
    };
    auto best = pixels(rows.first, columns.first);
    Pack<I, V> index;
    for (int v = 0; v < V; ++v) index.at[v] = static_cast<I>(rows.first * kw + columns.first);
    for (int a = rows.first; a < rows.last; ++a)
      for (int b = columns.first; b < columns.last; ++b) {
        auto cell = pixels(a, b);
        for (int v = 0; v < V; ++v) {
          bool larger = isnan(cell.at[v]) || ordered(cell.at[v]) > ordered(best.at[v]);
          if (isnan(best.at[v]) || !larger) continue;
          best.at[v] = cell.at[v];
          index.at[v] = static_cast<I>(a * kw + b);
        }
      }
    store(values, at, best);
    store(indices, at, index);
  });
}

template <class T, class I, int V>
__global__ __launch_bounds__(128, 8) void window_gather(const T* x, const I* indices, T* cells, long n, int h, int w, int oh, int ow, int c,
                              int kh, int kw, int sh, int sw, int top, int left) {
  each<V>(n, oh, ow, c, [&](long image, int i, int j, long channel, long at) {
    Span rows(i, sh, top, kh, h), columns(j, sw, left, kw, w);
    auto index = load<V>(indices, at);
    Pack<T, V> found;
    for (int v = 0; v < V; ++v) {
      long a = index.at[v] / static_cast<unsigned>(kw), b = index.at[v] % static_cast<unsigned>(kw);
      bool inside = rows.first <= a && a < rows.last && columns.first <= b && b < columns.last;
      found.at[v] = inside ? x[((image * h + rows.start + a) * w + columns.start + b) * c + channel + v] : T(0);
    }
    store(cells, at, found);
  });
}

template <class T, class I, int V>
__global__ __launch_bounds__(128, 8) void window_scatter(const T* g, const I* indices, T* images, long n, int h, int w, int oh, int ow, int c,
                               int kh, int kw, int sh, int sw, int top, int left) {
  each<V>(n, h, w, c, [&](long image, int y, int z, long channel, long at) {
    Cover rows(y, sh, top, kh, oh), columns(z, sw, left, kw, ow);
    Pack<T, V> sum = {};
    for (int i = rows.first; i < rows.last; ++i)
      for (int j = columns.first; j < columns.last; ++j) {
        long window = ((image * oh + i) * ow + j) * c + channel;
        unsigned place = (rows.at - i * sh) * kw + columns.at - j * sw;
        auto index = load<V>(indices, window);
        auto given = load<V>(g, window);
        for (int v = 0; v < V; ++v) sum.at[v] += index.at[v] == place ? given.at[v] : T(0);
      }
    store(images, at, sum);
  });
}

template <class T, int V>
__global__ __launch_bounds__(128, 8) void avg_pool(const T* x, T* means, long n, int h, int w, int oh, int ow, int c, int kh, int kw, int sh,
                         int sw, int top, int left, T share) {
  each<V>(n, oh, ow, c, [&](long image, int i, int j, long channel, long at) {
    Span rows(i, sh, top, kh, h), columns(j, sw, left, kw, w);
    Pack<T, V> sum = {};
    for (int a = rows.first; a < rows.last; ++a)
      for (int b = columns.first; b < columns.last; ++b) {
        auto cell = load<V>(x, ((image * h + rows.start + a) * w + columns.start + b) * c + channel);
        for (int v = 0; v < V; ++v) sum.at[v] += cell.at[v];
      }
    for (int v = 0; v < V; ++v) sum.at[v] *= share;
    store(means, at, sum);
  });
}

template <class T, int V>
__global__ __launch_bounds__(128, 8) void avg_pool_transpose(const T* g, T* images, long n, int h, int w, int oh, int ow, int c, int kh, int kw,
                                   int sh, int sw, int top, int left, T share) {
  each<V>(n, h, w, c, [&](long image, int y, int z, long channel, long at) {
    Cover rows(y, sh, top, kh, oh), columns(z, sw, left, kw, ow);
    Pack<T, V> sum = {};
    for (int i = rows.first; i < rows.last; ++i)
      for (int j = columns.first; j < columns.last; ++j) {
        auto given = load<V>(g, ((image * oh + i) * ow + j) * c + channel);
        for (int v = 0; v < V; ++v) sum.at[v] += given.at[v];
      }
    for (int v = 0; v < V; ++v) sum.at[v] *= share;
    store(images, at, sum);
  });
}
