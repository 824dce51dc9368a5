// Normalisation, its pullback and the gradients of that: sums over the rows, then a pass that needs them. One launch
// where a block has all rows, else one that keeps the strips' sums and one whose blocks put them together.
#include "strips.cuh"

constexpr int SUM = 1, USE = 2;  // `phases`: what a launch does

// Rows, mean and squares about it (Chan, Golub and LeVeque 1979).
struct Moments {
  template <int V> static __device__ __forceinline__ void merge(Sums<2, V>& into, const Sums<2, V>& other) {
    if (other.rows == 0) return;
    double rows = into.rows + other.rows, share = other.rows / rows;
#pragma unroll
    for (int v = 0; v < V; ++v) {
      double apart = other.at[0][v] - into.at[0][v];
      into.at[0][v] += apart * share;
      into.at[1][v] += other.at[1][v] + apart * apart * share * into.rows;
    }
    into.rows = rows;
  }
};

template <class T, int V>
__global__ void __launch_bounds__(MOST_THREADS)
    standardize(const T* x, double* partial, T* y, T* s, double eps, long a, long r, long b, long depth, int strips,
                int phases) {
  constexpr int U = 8;
  Strip at = strip_of_thread<V>(a, r, b, depth, strips);
  Sums<2, V> sums = {};
  if (phases & SUM) {
    each_rows<U, V>(at, r, b, {x}, [&](const Rows<T, V, 1, U>& rows, int count, long, long) {
      Sums<2, V> some;
      some.rows = count;
      T share = T(1) / static_cast<T>(count);
#pragma unroll
      for (int v = 0; v < V; ++v) {
        T sum = 0, rest = 0, squares = 0;
#pragma unroll
        for (int u = 0; u < U; ++u) sum += rows[0][u].at[v];
        T mean = sum * share;
#pragma unroll
        for (int u = 0; u < U; ++u) {
          T centred = u < count ? rows[0][u].at[v] - mean : T(0);
          rest += centred;  // what rounding left in the mean
          squares += centred * centred;
        }
        some.at[0][v] = static_cast<double>(mean) + static_cast<double>(rest * share);
        some.at[1][v] = squares - rest * rest * share;
      }
      Moments::merge(sums, some);
    });
    merge_rows<Moments>(sums);
    if (!(phases & USE)) keep(sums, at, partial, b, strips);
  }
  if (!(phases & USE)) return;
  if (!(phases & SUM)) sums = merge_strips<Moments, 2, V>(at, partial, b, strips);
  T mean[V], scale[V];
#pragma unroll
  for (int v = 0; v < V; ++v) {
    mean[v] = static_cast<T>(sums.at[0][v]);
    scale[v] = static_cast<T>(1 / sqrt(sums.at[1][v] / r + eps));
    if (at.inside && at.index == 0 && threadIdx.y == 0) s[at.matrix * b + at.column + v] = scale[v];
  }
  each_rows<U, V>(at, r, b, {x}, [&](const Rows<T, V, 1, U>& rows, int count, long place, long step) {
#pragma unroll
    for (int u = 0; u < U; ++u) {
      if (u >= count) break;
      Pack<T, V> out;
#pragma unroll
      for (int v = 0; v < V; ++v) out.at[v] = (rows[0][u].at[v] - mean[v]) * scale[v];
      *reinterpret_cast<Pack<T, V>*>(y + place + u * step) = out;
    }
  });
}

// s as the columns of a thread have it.
template <class T, int V> __device__ __forceinline__ Pack<T, V> scales(const T* s, const Strip& at, long b) {
  return at.inside ? *reinterpret_cast<const Pack<T, V>*>(s + at.matrix * b + at.column) : Pack<T, V>{};
}

template <class T, int V>
__global__ void __launch_bounds__(MOST_THREADS)
    pullback(const T* y, const T* s, const T* g, double* partial, T* h, long a, long r, long b, long depth, int strips,
             int phases) {
  constexpr int U = 4;
  Strip at = strip_of_thread<V>(a, r, b, depth, strips);
  Sums<2, V> sums = {};  // of g and g y
  if (phases & SUM) {
    each_rows<U, V>(at, r, b, {y, g}, [&](const Rows<T, V, 2, U>& rows, int, long, long) {
#pragma unroll
      for (int v = 0; v < V; ++v) {
        T of_g = 0, of_gy = 0;
#pragma unroll
        for (int u = 0; u < U; ++u) {
          of_g += rows[1][u].at[v];
          of_gy += rows[1][u].at[v] * rows[0][u].at[v];
        }
        sums.at[0][v] += of_g;
        sums.at[1][v] += of_gy;
      }
    });
    merge_rows<Added>(sums);
    if (!(phases & USE)) keep(sums, at, partial, b, strips);
  }
  if (!(phases & USE)) return;
  if (!(phases & SUM)) sums = merge_strips<Added, 2, V>(at, partial, b, strips);
  T g_mean[V], gy_mean[V];
#pragma unroll
  for (int v = 0; v < V; ++v) {
    g_mean[v] = static_cast<T>(sums.at[0][v] / r);
    gy_mean[v] = static_cast<T>(sums.at[1][v] / r);
  }
  Pack<T, V> scale = scales<T, V>(s, at, b);
  each_rows<U, V>(at, r, b, {y, g}, [&](const Rows<T, V, 2, U>& rows, int count, long place, long step) {
#pragma unroll
    for (int u = 0; u < U; ++u) {
      if (u >= count) break;
      Pack<T, V> out;
#pragma unroll
      for (int v = 0; v < V; ++v)
        out.at[v] = scale.at[v] * (rows[1][u].at[v] - g_mean[v] - rows[0][u].at[v] * gy_mean[v]);
      *reinterpret_cast<Pack<T, V>*>(h + place + u * step) = out;
    }
  });
}

template <class T, int V>
__global__ void __launch_bounds__(MOST_THREADS)
    pullback_gradients(const T* y, const T* s, const T* g, const T* c, double* partial, T* of_y, T* of_s, T* of_g, long a,
                       long r, long b, long depth, int strips, int phases) {
  constexpr int U = 4;
  Strip at = strip_of_thread<V>(a, r, b, depth, strips);
  Sums<5, V> sums = {};  // of g, g y, c, c y and c g
  if (phases & SUM) {
    each_rows<U, V>(at, r, b, {y, g, c}, [&](const Rows<T, V, 3, U>& rows, int, long, long) {
#pragma unroll
      for (int v = 0; v < V; ++v) {
        T some[5] = {};
#pragma unroll
        for (int u = 0; u < U; ++u) {
          T yi = rows[0][u].at[v], gi = rows[1][u].at[v], ci = rows[2][u].at[v];
          some[0] += gi;
          some[1] += gi * yi;
          some[2] += ci;
          some[3] += ci * yi;
          some[4] += ci * gi;
        }
#pragma unroll
        for (int k = 0; k < 5; ++k) sums.at[k][v] += some[k];
      }
    });
    merge_rows<Added>(sums);
    if (!(phases & USE)) keep(sums, at, partial, b, strips);
  }
  if (!(phases & USE)) return;
  if (!(phases & SUM)) sums = merge_strips<Added, 5, V>(at, partial, b, strips);
  T gy_mean[V], c_mean[V], cy_mean[V];
#pragma unroll
  for (int v = 0; v < V; ++v) {
    gy_mean[v] = static_cast<T>(sums.at[1][v] / r);
    c_mean[v] = static_cast<T>(sums.at[2][v] / r);
    cy_mean[v] = static_cast<T>(sums.at[3][v] / r);
    if (at.inside && at.index == 0 && threadIdx.y == 0)
      of_s[at.matrix * b + at.column + v] = static_cast<T>(
          sums.at[4][v] - (sums.at[2][v] * sums.at[0][v] + sums.at[3][v] * sums.at[1][v]) / r);
  }
  Pack<T, V> scale = scales<T, V>(s, at, b);
  each_rows<U, V>(at, r, b, {y, g, c}, [&](const Rows<T, V, 3, U>& rows, int count, long place, long step) {
#pragma unroll
    for (int u = 0; u < U; ++u) {
      if (u >= count) break;
      Pack<T, V> by_y, by_g;
#pragma unroll
      for (int v = 0; v < V; ++v) {
        T yi = rows[0][u].at[v], gi = rows[1][u].at[v], ci = rows[2][u].at[v];
        by_y.at[v] = -scale.at[v] * (ci * gy_mean[v] + gi * cy_mean[v]);
        by_g.at[v] = scale.at[v] * (ci - c_mean[v] - yi * cy_mean[v]);
      }
      *reinterpret_cast<Pack<T, V>*>(of_y + place + u * step) = by_y;
      *reinterpret_cast<Pack<T, V>*>(of_g + place + u * step) = by_g;
    }
  });
}
