// CUDA C++ on the CPU: included before a kernel's source, which g++ then compiles as it stands.
//
// Each thread of a block is a fiber; blocks run one after another, in one thread of the system. A fiber runs until it
// meets a barrier, and which one runs next is the schedule's choice: forward, in reverse, or at random, where a warp
// sometimes goes alone as far as it can. A kernel that lacks a barrier is right under one of them and wrong under another.
// Shared memory is poisoned (NaN, or -1) before each block, copies of `cp.async` arrive when they are waited for and not
// before, and a block that cannot go on says which thread waits at which line.
#pragma once

#include <algorithm>
#include <csetjmp>
#include <csignal>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <pthread.h>
#include <random>
#include <string>
#include <sys/mman.h>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>
#if !defined(__x86_64__)
#include <ucontext.h>
#endif

#define METAGRAD_EMULATION 1
#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)

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

// A fiber is a stack and the place on it where it left off.
#if defined(__x86_64__)
struct Context { void* stack = nullptr; };
extern "C" void metagrad_switch(void** from, void* to);
asm(R"(
.text
.local metagrad_switch
.type metagrad_switch, @function
metagrad_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
)");
inline void prepare(Context& context, char* stack, std::size_t size, void (*entry)()) {
  auto* top = reinterpret_cast<void**>(stack + size) - 2;  // `ret` into `entry` leaves the stack as a call would
  *top = reinterpret_cast<void*>(entry);
  top[1] = nullptr;
  context.stack = top - 6;
  std::memset(context.stack, 0, 6 * sizeof(void*));
}
inline void leave_for(Context& from, Context& to) { metagrad_switch(&from.stack, to.stack); }
#else
struct Context { ucontext_t state; };
inline void prepare(Context& context, char* stack, std::size_t size, void (*entry)()) {
  getcontext(&context.state);
  context.state.uc_stack.ss_sp = stack;
  context.state.uc_stack.ss_size = size;
  context.state.uc_link = nullptr;
  makecontext(&context.state, entry, 0);
}
inline void leave_for(Context& from, Context& to) { swapcontext(&from.state, &to.state); }
#endif

constexpr std::size_t STACK = 256 << 10;
constexpr std::size_t GUARD = 4096;
constexpr std::size_t SHARED = 228 << 10;
constexpr unsigned WARP = 32;
constexpr int POISON = 0xFF;

enum class State { ready, at_barrier, in_warp, done };

struct Copy { void* to; const void* from; std::size_t bytes; };

struct Thread {
  Context context;
  uint3 index;
  unsigned rank;
  State state;
  int line;       // where it waits
  unsigned mask;  // the lanes that it waits for
  std::vector<Copy> pending;            // copies that are issued and in no group yet
  std::vector<std::vector<Copy>> groups;  // copies in flight
};

struct Warp {
  unsigned char slots[WARP][64];
};

struct Machine {
  std::vector<Thread> threads;
  std::vector<Warp> warps;
  std::vector<std::pair<const void*, std::size_t>> placed;  // what shared memory holds: a key and an offset
  char* stacks = nullptr;
  char* shared = nullptr;
  std::size_t used = 0;
  Context scheduler;
  Thread* running = nullptr;
  void (*body)(void*) = nullptr;
  void* argument = nullptr;
  dim3 grid, block;
  uint3 place;
  std::string failure;
  pthread_t owner;
  sigjmp_buf escape;
};

static Machine* machine = nullptr;

[[noreturn]] inline void fail(const std::string& what) {
  if (machine->failure.empty()) machine->failure = what;
  machine->running->state = State::done;
  leave_for(machine->running->context, machine->scheduler);
  std::abort();
}

inline std::string where(const Thread& t) {
  return "thread (" + std::to_string(t.index.x) + ", " + std::to_string(t.index.y) + ", " + std::to_string(t.index.z) +
         ") of block (" + std::to_string(machine->place.x) + ", " + std::to_string(machine->place.y) + ", " +
         std::to_string(machine->place.z) + ")";
}

inline void wait(State state, int line, unsigned mask = 0) {
  Thread& t = *machine->running;
  t.state = state;
  t.line = line;
  t.mask = mask;
  leave_for(t.context, machine->scheduler);
}

inline void start() {
  machine->body(machine->argument);
  machine->running->state = State::done;
  leave_for(machine->running->context, machine->scheduler);
  std::abort();
}

// Shared memory: one piece for each type of it that a block asks for, in the order of the first asking.
inline void* shared(const void* key, std::size_t bytes, std::size_t alignment) {
  for (auto& [known, offset] : machine->placed)
    if (known == key) return machine->shared + offset;
  std::size_t offset = (machine->used + alignment - 1) / alignment * alignment;
  if (offset + bytes > SHARED) fail("a block requires at most 228 kB of shared memory but got more");
  machine->used = offset + bytes;
  machine->placed.emplace_back(key, offset);
  return machine->shared + offset;
}

inline void barrier(int line) { wait(State::at_barrier, line); }

inline void warp_barrier(unsigned mask, int line) {
  if (!(mask >> (machine->running->rank % WARP) & 1))
    fail("a warp's collective at line " + std::to_string(line) + " requires the caller in its mask: " +
         where(*machine->running));
  wait(State::in_warp, line, mask);
}

// Every lane of the mask gives a value and reads another's.
template <class T> T exchange(unsigned mask, T value, unsigned lane, int line) {
  static_assert(sizeof(T) <= 64);
  Thread& t = *machine->running;
  Warp& warp = machine->warps[t.rank / WARP];
  std::memcpy(warp.slots[t.rank % WARP], &value, sizeof(T));
  warp_barrier(mask, line);
  T got = value;
  if (lane < WARP && (mask >> lane & 1)) std::memcpy(&got, warp.slots[lane], sizeof(T));
  warp_barrier(mask, line);
  return got;
}

// A value of every lane of the warp.
template <class T> void gather(T value, T (&all)[WARP], int line) {
  static_assert(sizeof(T) <= 64);
  Thread& t = *machine->running;
  Warp& warp = machine->warps[t.rank / WARP];
  std::memcpy(warp.slots[t.rank % WARP], &value, sizeof(T));
  warp_barrier(0xFFFFFFFFu, line);
  for (unsigned lane = 0; lane < WARP; ++lane) std::memcpy(&all[lane], warp.slots[lane], sizeof(T));
  warp_barrier(0xFFFFFFFFu, line);
}

inline void land(std::vector<Copy>& group) {
  for (Copy& copy : group) {
    if (copy.from) std::memcpy(copy.to, copy.from, copy.bytes);
    else std::memset(copy.to, 0, copy.bytes);
  }
  group.clear();
}

// Let the lanes of a warp go on whose collective is complete; false if there are none.
inline bool release_warp(std::size_t first) {
  auto& threads = machine->threads;
  std::size_t last = std::min(first + WARP, threads.size());
  bool any = false;
  for (std::size_t i = first; i < last; ++i) {
    if (threads[i].state != State::in_warp) continue;
    unsigned mask = threads[i].mask;
    bool complete = true;
    for (std::size_t k = 0; k < WARP && complete; ++k) {
      if (!(mask >> k & 1)) continue;
      complete = first + k < last && threads[first + k].state == State::in_warp && threads[first + k].mask == mask &&
                 threads[first + k].line == threads[i].line;
    }
    if (!complete) continue;
    for (std::size_t k = 0; k < WARP; ++k)
      if (mask >> k & 1) threads[first + k].state = State::ready;
    any = true;
  }
  return any;
}

// Let those go on whose barrier or collective is complete; false if no one can.
inline bool release() {
  auto& threads = machine->threads;
  bool any = false;
  for (std::size_t first = 0; first < threads.size(); first += WARP) any = release_warp(first) || any;
  if (any) return true;
  int line = -1;
  for (Thread& t : threads) {
    if (t.state != State::at_barrier) return false;
    if (line >= 0 && t.line != line) return false;
    line = t.line;
  }
  for (Thread& t : threads) t.state = State::ready;
  return true;
}

inline std::string deadlock() {
  std::string text = "deadlock:";
  int shown = 0;
  const Thread* last = nullptr;
  for (Thread& t : machine->threads) {
    if (last && last->state == t.state && (t.state == State::done || last->line == t.line)) continue;
    last = &t;
    if (++shown > 6) break;
    const char* what = t.state == State::done         ? " has ended"
                       : t.state == State::at_barrier ? " waits for the block at line "
                                                      : " waits for its warp at line ";
    text += (shown > 1 ? "; " : " ") + where(t) + what + (t.state == State::done ? "" : std::to_string(t.line));
  }
  return text;
}

// An address that is no memory at all: the kernel's failure, not the process's end.
struct Trap {
  static void caught(int number) {
    if (machine && pthread_equal(machine->owner, pthread_self())) siglongjmp(machine->escape, 1);
    std::signal(number, SIG_DFL);
    std::raise(number);
  }
  Trap() : stack(64 << 10) {
    stack_t own{};
    own.ss_sp = stack.data();
    own.ss_size = stack.size();
    sigaltstack(&own, &before);
    struct sigaction action{};
    action.sa_handler = caught;
    action.sa_flags = SA_ONSTACK | SA_NODEFER;
    sigaction(SIGSEGV, &action, &segv);
    sigaction(SIGBUS, &action, &bus);
  }
  ~Trap() {
    sigaction(SIGSEGV, &segv, nullptr);
    sigaction(SIGBUS, &bus, nullptr);
    sigaltstack(&before, nullptr);
  }
  std::vector<char> stack;
  stack_t before{};
  struct sigaction segv{}, bus{};
};

inline void run_block(int schedule, std::mt19937& random) {
  auto& threads = machine->threads;
  std::memset(machine->shared, POISON, SHARED);
  machine->used = 0;
  machine->placed.clear();
  for (std::size_t i = 0; i < threads.size(); ++i) {
    Thread& t = threads[i];
    t.state = State::ready;
    t.pending.clear();
    t.groups.clear();
    char* stack = machine->stacks + i * STACK;
    std::memset(stack, POISON, sizeof(long));
    prepare(t.context, stack, STACK, start);
  }
  std::vector<std::size_t> order(threads.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = schedule == 1 ? order.size() - 1 - i : i;
  auto run = [&](std::size_t i) {
    if (threads[i].state != State::ready || !machine->failure.empty()) return false;
    machine->running = &threads[i];
    leave_for(machine->scheduler, threads[i].context);
    return true;
  };
  while (machine->failure.empty()) {
    if (schedule == 2) std::shuffle(order.begin(), order.end(), random);
    bool ahead = schedule == 2 && random() % 2;  // each warp alone as far as it can, up to the block's next barrier
    bool ran = false, left = false;
    for (std::size_t i : order) {
      ran = run(i) || ran;
      if (ahead) {
        std::size_t first = i / WARP * WARP, last = std::min(first + WARP, threads.size());
        do
          for (std::size_t k = first; k < last; ++k) run(k);
        while (machine->failure.empty() && release_warp(first));
      }
      left = left || threads[i].state != State::done;
    }
    if (!machine->failure.empty()) return;
    if (!left) break;
    if (!release() && !ran) machine->failure = deadlock();
  }
  long poison;
  std::memset(&poison, POISON, sizeof poison);
  for (std::size_t i = 0; i < threads.size(); ++i)
    if (std::memcmp(machine->stacks + i * STACK, &poison, sizeof poison))
      machine->failure = "a thread requires at most 256 kB of local memory but got more";
  for (std::size_t i = machine->used; i < SHARED; ++i)
    if (static_cast<unsigned char>(machine->shared[i]) != POISON && machine->failure.empty())
      machine->failure = "a write " + std::to_string(i - machine->used) + " bytes behind the block's shared memory";
}

struct Launch {
  int grid[3], block[3], schedule;
  unsigned seed;
  char* message;
  std::size_t size;
};

template <class... A, std::size_t... I>
int launch(void (*kernel)(A...), const Launch& how, void** arguments, std::index_sequence<I...>) {
  Machine here;
  machine = &here;
  std::tuple<void (*)(A...), void**> call{kernel, arguments};
  here.argument = &call;
  here.body = [](void* given) {
    auto& [kernel, arguments] = *static_cast<std::tuple<void (*)(A...), void**>*>(given);
    kernel(*static_cast<std::remove_reference_t<A>*>(arguments[I])...);
  };
  here.owner = pthread_self();
  Trap trap;
  here.grid = dim3(how.grid[0], how.grid[1], how.grid[2]);
  here.block = dim3(how.block[0], how.block[1], how.block[2]);
  unsigned count = here.block.x * here.block.y * here.block.z;
  unsigned long blocks = static_cast<unsigned long>(here.grid.x) * here.grid.y * here.grid.z;
  std::mt19937 random(how.seed);
  std::vector<char> memory(SHARED + 1024);
  here.shared = memory.data() + (1024 - reinterpret_cast<std::uintptr_t>(memory.data()) % 1024);
  here.stacks = static_cast<char*>(mmap(nullptr, count * STACK, PROT_READ | PROT_WRITE,
                                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
  if (here.stacks == MAP_FAILED) here.failure = "no memory for the stacks of a block";
  here.threads.resize(count);
  here.warps.resize((count + WARP - 1) / WARP);
  for (unsigned i = 0; i < count; ++i) {
    here.threads[i].rank = i;
    here.threads[i].index = {i % here.block.x, i / here.block.x % here.block.y, i / (here.block.x * here.block.y)};
  }
  std::vector<unsigned long> order(blocks);
  for (unsigned long i = 0; i < blocks; ++i) order[i] = how.schedule == 1 ? blocks - 1 - i : i;
  if (how.schedule == 2) std::shuffle(order.begin(), order.end(), random);
  for (unsigned long i : order) {
    if (!here.failure.empty()) break;
    here.place = {static_cast<unsigned>(i % here.grid.x), static_cast<unsigned>(i / here.grid.x % here.grid.y),
                  static_cast<unsigned>(i / here.grid.x / here.grid.y)};
    if (sigsetjmp(here.escape, 1)) here.failure = "an access to an address that is no array's, by " + where(*here.running);
    else run_block(how.schedule, random);
  }
  if (here.stacks != MAP_FAILED) munmap(here.stacks, count * STACK);
  machine = nullptr;
  if (here.failure.empty()) return 0;
  std::snprintf(how.message, how.size, "%s", here.failure.c_str());
  return 1;
}

template <class... A> int launch(void (*kernel)(A...), const Launch& how, void** arguments, int given) {
  if (given != static_cast<int>(sizeof...(A))) {
    std::snprintf(how.message, how.size, "a kernel of %d arguments requires as many but got %d",
                  static_cast<int>(sizeof...(A)), given);
    return 1;
  }
  return launch(kernel, how, arguments, std::index_sequence_for<A...>{});
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

}  // namespace emulation

#define threadIdx (emulation::machine->running->index)
#define blockIdx (emulation::machine->place)
#define blockDim (emulation::machine->block)
#define gridDim (emulation::machine->grid)
constexpr int warpSize = 32;

#define __syncthreads() emulation::barrier(__LINE__)
#define __syncwarp(...) emulation::warp_barrier(emulation::mask_or_all(__VA_ARGS__), __LINE__)
#define __shfl_sync(mask, value, lane, ...) emulation::exchange(mask, value, (lane) & 31, __LINE__)
#define __shfl_xor_sync(mask, value, lanes, ...) emulation::exchange(mask, value, emulation::lane() ^ (lanes), __LINE__)
#define __shfl_down_sync(mask, value, lanes, ...) emulation::exchange(mask, value, emulation::lane() + (lanes), __LINE__)
#define __shfl_up_sync(mask, value, lanes, ...) emulation::exchange(mask, value, emulation::lane() - (lanes), __LINE__)
#define __ballot_sync(mask, predicate) emulation::ballot(mask, predicate, __LINE__)
#define __any_sync(mask, predicate) (emulation::ballot(mask, predicate, __LINE__) != 0)
#define __all_sync(mask, predicate) (emulation::ballot(mask, predicate, __LINE__) == (mask))

namespace emulation {
inline unsigned lane() { return machine->running->rank % WARP; }
inline unsigned mask_or_all(unsigned mask = 0xFFFFFFFFu) { return mask; }
inline unsigned ballot(unsigned mask, bool predicate, int line) {
  unsigned votes = 0;
  Thread& t = *machine->running;
  Warp& warp = machine->warps[t.rank / WARP];
  warp.slots[t.rank % WARP][0] = predicate;
  warp_barrier(mask, line);
  for (unsigned k = 0; k < WARP; ++k)
    if (mask >> k & 1) votes |= static_cast<unsigned>(warp.slots[k][0] != 0) << k;
  warp_barrier(mask, line);
  return votes;
}
}  // namespace emulation

// The functions of CUDA that C++ lacks or has elsewhere.
using std::isfinite;
using std::isinf;
using std::isnan;
using std::max;
using std::min;
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
template <class T> T atomicMax(T* p, T x) { T before = *p; *p = std::max(before, x); return before; }
inline void __threadfence() {}

// A failure that the kernel itself finds, and what a kernel is called by.
#define EMULATION_ENTRY(...)                                                                         \
  extern "C" int metagrad_emulate(const emulation::Launch* how, void** arguments, int given) {       \
    auto* kernel = &__VA_ARGS__;                                                                     \
    return emulation::launch(kernel, *how, arguments, given);                                        \
  }                                                                                                  \
  extern "C" const char* metagrad_letters() {                                                        \
    auto* kernel = &__VA_ARGS__;                                                                     \
    return emulation::letters(kernel);                                                               \
  }
