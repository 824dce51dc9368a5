// A row added to all of a matrix: each thread reads its columns of the row once.
#include "strips.cuh"

template <class T, int V>
__global__ void __launch_bounds__(MOST_THREADS)
    add_row(const T* x, const T* row, T* result, long a, long r, long b, long depth, int strips) {
  constexpr int U = 4;
  Strip at = strip_of_thread<V>(a, r, b, depth, strips);
  if (!at.inside) return;
  auto same = *reinterpret_cast<const Pack<T, V>*>(row + at.matrix * b + at.column);
  each_rows<U, V>(at, r, b, {x}, [&](const Rows<T, V, 1, U>& rows, int count, long place, long step) {
#pragma unroll
    for (int u = 0; u < U; ++u) {
      if (u >= count) break;
      Pack<T, V> out;
#pragma unroll
      for (int v = 0; v < V; ++v) out.at[v] = rows[0][u].at[v] + same.at[v];
      *reinterpret_cast<Pack<T, V>*>(result + place + u * step) = out;
    }
  });
}
