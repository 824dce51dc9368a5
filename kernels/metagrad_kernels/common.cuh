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
  emulation::machine->running->pending.push_back({to, inside ? from : nullptr, 16});
#else
  unsigned address = static_cast<unsigned>(__cvta_generic_to_shared(to));
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(address), "l"(from), "r"(inside ? 16 : 0) : "memory");
#endif
}

// The same of one element of 4 or 8 bytes.
template <class T> __device__ __forceinline__ void copy_later(T* to, const T* from, bool inside) {
#ifdef METAGRAD_EMULATION
  emulation::machine->running->pending.push_back({to, inside ? from : nullptr, sizeof(T)});
#else
  unsigned address = static_cast<unsigned>(__cvta_generic_to_shared(to));
  asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(address), "l"(from), "n"(sizeof(T)),
               "r"(inside ? static_cast<int>(sizeof(T)) : 0) : "memory");
#endif
}

__device__ __forceinline__ void close_copies() {
#ifdef METAGRAD_EMULATION
  auto& t = *emulation::machine->running;
  t.groups.push_back(t.pending);
  t.pending.clear();
#else
  asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

// Until at most N groups of this thread's copies are in flight. The other threads' copies need a barrier besides.
template <int N> __device__ __forceinline__ void wait_for_copies() {
#ifdef METAGRAD_EMULATION
  auto& groups = emulation::machine->running->groups;
  while (groups.size() > N) {
    emulation::land(groups.front());
    groups.erase(groups.begin());
  }
#else
  asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
#endif
}
