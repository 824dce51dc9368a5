// Sums over rows. The sums of strips are rows again, of which a second launch takes the sum.
#include "strips.cuh"

template <class T, class Sum, int V>
__global__ void __launch_bounds__(MOST_THREADS)
    sum_rows(const T* x, Sum* result, long a, long r, long b, long depth, int strips) {
  constexpr int U = 8;
  Strip at = strip_of_thread<V>(a, r, b, depth, strips);
  Sums<1, V> sums = {};
  each_rows<U, V>(at, r, b, {x}, [&](const Rows<T, V, 1, U>& rows, int, long, long) {
#pragma unroll
    for (int v = 0; v < V; ++v) {
      T some = 0;
#pragma unroll
      for (int u = 0; u < U; ++u) some += rows[0][u].at[v];
      sums.at[0][v] += some;
    }
  });
  merge_rows<Added>(sums);
  if (!at.inside || threadIdx.y) return;
  for (int v = 0; v < V; ++v)
    result[(at.matrix * strips + at.index) * b + at.column + v] = static_cast<Sum>(sums.at[0][v]);
}
