// CUDA C++ on the CPU: included before a kernel's source, which g++ then compiles as it stands.
//
// What a kernel sees of its thread, block and grid, and of the functions that CUDA has and C++ lacks. What runs it is in
// emulation.cpp, compiled once for all kernels.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

#define METAGRAD_EMULATION 1
#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __shared__ static_assert(false, "shared memory is had by `auto& tiles = shared<Tiles>();` of common.cuh");

struct uint3 { unsigned x, y, z; };
struct dim3 {
  unsigned x, y, z;
  dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};
struct alignas(8) float2 { float x, y; };
struct alignas(16) float4 { float x, y, z, w; };
struct alignas(16) double2 { double x, y; };
struct alignas(8) int2 { int x, y; };
struct alignas(16) int4 { int x, y, z, w; };
struct alignas(16) uint4 { unsigned x, y, z, w; };
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline double2 make_double2(double x, double y) { return {x, y}; }
inline int2 make_int2(int x, int y) { return {x, y}; }

namespace emulation {

constexpr unsigned WARP = 32;

// The thread that runs.
struct Here {
  uint3 thread, block;
  dim3 block_size, grid_size;
  unsigned rank;  // of the thread in its block
};
extern Here here;

// One piece of a block's shared memory for each key.
void* shared(const void* key, std::size_t bytes, std::size_t alignment);

// Wait for all threads of the block, or for the lanes of a mask of the warp. The line is for the report of a deadlock.
void barrier(int line);
void warp_barrier(unsigned mask, int line);

// Every lane of the mask gives `bytes` and reads another's; `gather` reads those of all 32 lanes.
void exchange(unsigned mask, const void* value, void* got, std::size_t bytes, unsigned lane, int line);
void gather(const void* value, void* all, std::size_t bytes, int line);

// A bit for each lane of the mask.
unsigned ballot(unsigned mask, bool predicate, int line);

// `cp.async`: copies of the running thread, of zeros where `from` is null.
void copy_later(void* to, const void* from, std::size_t bytes);
void close_copies();
void wait_for_copies(std::size_t in_flight);

struct Launch {
  int grid[3], block[3], schedule;
  unsigned seed;
  char* message;
  std::size_t size;
};

// Run `body(argument)` as every thread of a launch; 0, or 1 with the failure in the launch's message.
int run(void (*body)(void*), void* argument, const Launch& how);
int wrong_count(std::size_t wanted, int given, const Launch& how);

template <class... A> struct Call {
  void (*kernel)(A...);
  void** arguments;
  template <std::size_t... I> void operator()(std::index_sequence<I...>) const {
    kernel(*static_cast<std::remove_reference_t<A>*>(arguments[I])...);
  }
};
template <class... A> int launch(void (*kernel)(A...), const Launch& how, void** arguments, int given) {
  if (given != static_cast<int>(sizeof...(A))) return wrong_count(sizeof...(A), given, how);
  Call<A...> call{kernel, arguments};
  return run([](void* made) { (*static_cast<Call<A...>*>(made))(std::index_sequence_for<A...>{}); }, &call, how);
}

// What a kernel's arguments are, one character each: p for a pointer, else the letter of NumPy's dtype.
template <class T> constexpr char letter() {
  if constexpr (std::is_pointer_v<T>) return 'p';
  else if constexpr (std::is_same_v<T, float>) return 'f';
  else if constexpr (std::is_same_v<T, double>) return 'd';
  else if constexpr (std::is_same_v<T, int>) return 'i';
  else if constexpr (std::is_same_v<T, unsigned>) return 'I';
  else if constexpr (std::is_same_v<T, long> || std::is_same_v<T, long long>) return 'l';
  else return '?';
}
template <class... A> const char* letters(void (*)(A...)) {
  static const char text[] = {letter<std::remove_cv_t<std::remove_reference_t<A>>>()..., '\0'};
  return text;
}

inline unsigned lane() { return here.rank % WARP; }
inline unsigned mask_or_all(unsigned mask = 0xFFFFFFFFu) { return mask; }
template <class T> T from_lane(unsigned mask, T value, unsigned lane, int line) {
  T got = value;
  exchange(mask, &value, &got, sizeof(T), lane, line);
  return got;
}

}  // namespace emulation

#define threadIdx (emulation::here.thread)
#define blockIdx (emulation::here.block)
#define blockDim (emulation::here.block_size)
#define gridDim (emulation::here.grid_size)
constexpr int warpSize = 32;

#define __syncthreads() emulation::barrier(__LINE__)
#define __syncwarp(...) emulation::warp_barrier(emulation::mask_or_all(__VA_ARGS__), __LINE__)
#define __shfl_sync(mask, value, lane, ...) emulation::from_lane(mask, value, (lane) & 31, __LINE__)
#define __shfl_xor_sync(mask, value, lanes, ...) emulation::from_lane(mask, value, emulation::lane() ^ (lanes), __LINE__)
#define __shfl_down_sync(mask, value, lanes, ...) emulation::from_lane(mask, value, emulation::lane() + (lanes), __LINE__)
#define __shfl_up_sync(mask, value, lanes, ...) emulation::from_lane(mask, value, emulation::lane() - (lanes), __LINE__)
#define __ballot_sync(mask, predicate) emulation::ballot(mask, predicate, __LINE__)
#define __any_sync(mask, predicate) (emulation::ballot(mask, predicate, __LINE__) != 0)
#define __all_sync(mask, predicate) (emulation::ballot(mask, predicate, __LINE__) == (mask))

// The functions of CUDA that C++ lacks or has elsewhere.
using std::isfinite;
using std::isinf;
using std::isnan;
template <class T> constexpr T max(T a, T b) { return a < b ? b : a; }
template <class T> constexpr T min(T a, T b) { return b < a ? b : a; }
inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }
inline double rsqrt(double x) { return 1.0 / std::sqrt(x); }
inline float __expf(float x) { return std::exp(x); }
inline float __logf(float x) { return std::log(x); }
template <class T> T __ldg(const T* p) { return *p; }
inline unsigned __float_as_uint(float x) { unsigned u; std::memcpy(&u, &x, 4); return u; }
inline float __uint_as_float(unsigned u) { float x; std::memcpy(&x, &u, 4); return x; }
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __ffs(unsigned x) { return __builtin_ffs(static_cast<int>(x)); }
template <class T> T atomicAdd(T* p, T x) { T before = *p; *p += x; return before; }
template <class T> T atomicMax(T* p, T x) { T before = *p; *p = max(before, x); return before; }
inline void __threadfence() {}

// What a kernel is called by.
#define METAGRAD_EXPORT extern "C" __attribute__((visibility("default")))
#define EMULATION_ENTRY(...)                                                                          \
  METAGRAD_EXPORT int metagrad_emulate(const emulation::Launch* how, void** arguments, int given) {   \
    auto* kernel = &__VA_ARGS__;                                                                      \
    return emulation::launch(kernel, *how, arguments, given);                                         \
  }                                                                                                   \
  METAGRAD_EXPORT const char* metagrad_letters() {                                                    \
    auto* kernel = &__VA_ARGS__;                                                                      \
    return emulation::letters(kernel);                                                                \
  }
