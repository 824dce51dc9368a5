// What every kernel here may use, in two bodies: the GPU's, and the emulation's on the CPU.
#pragma once

// A block's shared memory: `auto& tiles = shared<Tiles>();`, the same object for all of its threads. T has no constructor.
template <class T> __device__ __forceinline__ T& shared() {
#ifdef METAGRAD_EMULATION
  static const char key = 0;
  return *static_cast<T*>(emulation::shared(&key, sizeof(T), alignof(T)));
#else
  __shared__ T memory;
  return memory;
#endif
}

constexpr unsigned EVERY_LANE = 0xFFFFFFFFu;

// The sum over the lanes of a warp, in an order that depends on nothing; every lane gets it.
template <class T> __device__ __forceinline__ T warp_sum(T x) {
  for (int lanes = 16; lanes > 0; lanes /= 2) x += __shfl_xor_sync(EVERY_LANE, x, lanes);
  return x;
}

// Copies of 16 bytes from global to shared memory that arrive later: issued, closed into groups, waited for. Of an
// address that is not `inside`, zeros arrive and nothing is read.
__device__ __forceinline__ void copy_16_later(void* to, const void* from, bool inside) {
#ifdef METAGRAD_EMULATION
  emulation::copy_later(to, inside ? from : nullptr, 16);
#else
  unsigned address = static_cast<unsigned>(__cvta_generic_to_shared(to));
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(address), "l"(from), "r"(inside ? 16 : 0) : "memory");
#endif
}

// The same of one element of 4 or 8 bytes.
template <class T> __device__ __forceinline__ void copy_later(T* to, const T* from, bool inside) {
#ifdef METAGRAD_EMULATION
  emulation::copy_later(to, inside ? from : nullptr, sizeof(T));
#else
  unsigned address = static_cast<unsigned>(__cvta_generic_to_shared(to));
  asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(address), "l"(from), "n"(sizeof(T)),
               "r"(inside ? static_cast<int>(sizeof(T)) : 0) : "memory");
#endif
}

__device__ __forceinline__ void close_copies() {
#ifdef METAGRAD_EMULATION
  emulation::close_copies();
#else
  asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

// Until at most N groups of this thread's copies are in flight. The other threads' copies need a barrier besides.
template <int N> __device__ __forceinline__ void wait_for_copies() {
#ifdef METAGRAD_EMULATION
  emulation::wait_for_copies(N);
#else
  asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
#endif
}

// x > 0, also of a number so small that -ftz=true, which CuPy compiles with, takes it for zero.
__device__ __forceinline__ bool is_positive(float x) { return x == x && static_cast<int>(__float_as_uint(x)) > 0; }
__device__ __forceinline__ bool is_positive(double x) { return x > 0; }

// TF32: float with a fraction of 10 bits. Rounded to the nearest, ties away from zero.
__device__ __forceinline__ float round_to_tf32(float x) {
#ifdef METAGRAD_EMULATION
  unsigned bits = __float_as_uint(x);
  if ((bits & 0x7F800000u) == 0x7F800000u) return x;
  return __uint_as_float((bits + 0x1000u) & ~0x1FFFu);
#else
  unsigned bits;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(x));
  return __uint_as_float(bits);
#endif
}

// d += a b on tensor cores, by a whole warp: a is 16 x 8, b is 8 x 8, d is 16 x 8. Of each operand only the bits of TF32
// are read; products are exact, and the hardware chooses how it sums them. With q = lane / 4 and r = lane % 4, a lane has
//   a: [q][r], [q + 8][r], [q][r + 4], [q + 8][r + 4]    b: [r][q], [r + 4][q]
//   d: [q][2 r], [q][2 r + 1], [q + 8][2 r], [q + 8][2 r + 1]
__device__ __forceinline__ void mma_16x8x8_tf32(float (&d)[4], const float (&a)[4], const float (&b)[2]) {
#ifdef METAGRAD_EMULATION
  struct Operands { float a[4], b[2]; };
  auto read = [](float x) { return static_cast<double>(__uint_as_float(__float_as_uint(x) & ~0x1FFFu)); };
  Operands all[emulation::WARP];
  Operands mine{{a[0], a[1], a[2], a[3]}, {b[0], b[1]}};
  emulation::gather(&mine, all, sizeof mine, __LINE__);
  unsigned q = emulation::lane() / 4, r = emulation::lane() % 4;
  for (unsigned i = 0; i < 4; ++i) {
    unsigned low = i / 2, column = 2 * r + i % 2;
    double sum = d[i];
    for (unsigned k = 0; k < 8; ++k)
      sum += read(all[4 * q + k % 4].a[low + k / 4 * 2]) * read(all[4 * column + k % 4].b[k / 4]);
    d[i] = static_cast<float>(sum);
  }
#else
  asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(__float_as_uint(a[0])), "r"(__float_as_uint(a[1])), "r"(__float_as_uint(a[2])), "r"(__float_as_uint(a[3])),
        "r"(__float_as_uint(b[0])), "r"(__float_as_uint(b[1])));
#endif
}
