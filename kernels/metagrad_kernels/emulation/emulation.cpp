// What runs a kernel: one fiber a CUDA thread, blocks one after another, all in one thread of the system.
//
// A fiber runs until it meets a barrier, and which one runs next is the schedule's choice: forward, in reverse, or at
// random, where a warp sometimes goes alone as far as it can. A kernel that lacks a barrier is right under one of them and
// wrong under another. Shared memory is poisoned (NaN, or -1) before each block, copies of `cp.async` arrive when they are
// waited for and not before, and a block that cannot go on says which thread waits at which line.
#include "emulation.h"

#include <algorithm>
#include <csetjmp>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <pthread.h>
#include <random>
#include <string>
#include <sys/mman.h>
#include <vector>
#if !defined(__x86_64__)
#include <ucontext.h>
#endif

namespace emulation {

Here here;

namespace {

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
void prepare(Context& context, char* stack, std::size_t size, void (*entry)()) {
  auto* top = reinterpret_cast<void**>(stack + size) - 2;  // `ret` into `entry` leaves the stack as a call would
  *top = reinterpret_cast<void*>(entry);
  top[1] = nullptr;
  context.stack = top - 6;
  std::memset(context.stack, 0, 6 * sizeof(void*));
}
void leave_for(Context& from, Context& to) { metagrad_switch(&from.stack, to.stack); }
#else
struct Context { ucontext_t state; };
void prepare(Context& context, char* stack, std::size_t size, void (*entry)()) {
  getcontext(&context.state);
  context.state.uc_stack.ss_sp = stack;
  context.state.uc_stack.ss_size = size;
  context.state.uc_link = nullptr;
  makecontext(&context.state, entry, 0);
}
void leave_for(Context& from, Context& to) { swapcontext(&from.state, &to.state); }
#endif

constexpr std::size_t STACK = 256 << 10;
constexpr std::size_t GUARD = 4096;  // bytes behind a block's shared memory that no thread may write to
constexpr std::size_t SHARED = 228 << 10;
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
  std::string failure;
  pthread_t owner;
  sigjmp_buf escape;
};

Machine* machine = nullptr;

[[noreturn]] void fail(const std::string& what) {
  if (machine->failure.empty()) machine->failure = what;
  machine->running->state = State::done;
  leave_for(machine->running->context, machine->scheduler);
  std::abort();
}

std::string where(const Thread& t) {
  return "thread (" + std::to_string(t.index.x) + ", " + std::to_string(t.index.y) + ", " + std::to_string(t.index.z) +
         ") of block (" + std::to_string(here.block.x) + ", " + std::to_string(here.block.y) + ", " +
         std::to_string(here.block.z) + ")";
}

void wait(State state, int line, unsigned mask = 0) {
  Thread& t = *machine->running;
  t.state = state;
  t.line = line;
  t.mask = mask;
  leave_for(t.context, machine->scheduler);
}

void start() {
  machine->body(machine->argument);
  machine->running->state = State::done;
  leave_for(machine->running->context, machine->scheduler);
  std::abort();
}

void land(std::vector<Copy>& group) {
  for (Copy& copy : group) {
    if (copy.from) std::memcpy(copy.to, copy.from, copy.bytes);
    else std::memset(copy.to, 0, copy.bytes);
  }
  group.clear();
}

// Let the lanes of a warp go on whose collective is complete; false if there are none.
bool release_warp(std::size_t first) {
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
bool release() {
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

std::string deadlock() {
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

void run_block(int schedule, std::mt19937& random) {
  auto& threads = machine->threads;
  std::memset(machine->shared, POISON, machine->used + GUARD);
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
    here.thread = threads[i].index;
    here.rank = threads[i].rank;
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
  for (std::size_t i = machine->used; i < machine->used + GUARD; ++i)
    if (static_cast<unsigned char>(machine->shared[i]) != POISON && machine->failure.empty())
      machine->failure = "a write " + std::to_string(i - machine->used) + " bytes behind the block's shared memory";
}

}  // namespace

void* shared(const void* key, std::size_t bytes, std::size_t alignment) {
  for (auto& [known, offset] : machine->placed)
    if (known == key) return machine->shared + offset;
  std::size_t offset = (machine->used + alignment - 1) / alignment * alignment;
  if (offset + bytes > SHARED) fail("a block requires at most 228 kB of shared memory but got more");
  machine->used = offset + bytes;
  machine->placed.emplace_back(key, offset);
  return machine->shared + offset;
}

void barrier(int line) { wait(State::at_barrier, line); }

void warp_barrier(unsigned mask, int line) {
  if (!(mask >> lane() & 1))
    fail("a warp's collective at line " + std::to_string(line) + " requires the caller in its mask: " +
         where(*machine->running));
  wait(State::in_warp, line, mask);
}

void exchange(unsigned mask, const void* value, void* got, std::size_t bytes, unsigned lane, int line) {
  Thread& t = *machine->running;
  Warp& warp = machine->warps[t.rank / WARP];
  std::memcpy(warp.slots[t.rank % WARP], value, bytes);
  warp_barrier(mask, line);
  if (lane < WARP && (mask >> lane & 1)) std::memcpy(got, warp.slots[lane], bytes);
  warp_barrier(mask, line);
}

void gather(const void* value, void* all, std::size_t bytes, int line) {
  Thread& t = *machine->running;
  Warp& warp = machine->warps[t.rank / WARP];
  std::memcpy(warp.slots[t.rank % WARP], value, bytes);
  warp_barrier(0xFFFFFFFFu, line);
  for (unsigned k = 0; k < WARP; ++k) std::memcpy(static_cast<char*>(all) + k * bytes, warp.slots[k], bytes);
  warp_barrier(0xFFFFFFFFu, line);
}

unsigned ballot(unsigned mask, bool predicate, int line) {
  Thread& t = *machine->running;
  Warp& warp = machine->warps[t.rank / WARP];
  unsigned votes = 0;
  warp.slots[t.rank % WARP][0] = predicate;
  warp_barrier(mask, line);
  for (unsigned k = 0; k < WARP; ++k)
    if (mask >> k & 1) votes |= static_cast<unsigned>(warp.slots[k][0] != 0) << k;
  warp_barrier(mask, line);
  return votes;
}

void copy_later(void* to, const void* from, std::size_t bytes) { machine->running->pending.push_back({to, from, bytes}); }

void close_copies() {
  Thread& t = *machine->running;
  t.groups.push_back(t.pending);
  t.pending.clear();
}

void wait_for_copies(std::size_t in_flight) {
  auto& groups = machine->running->groups;
  while (groups.size() > in_flight) {
    land(groups.front());
    groups.erase(groups.begin());
  }
}

int wrong_count(std::size_t wanted, int given, const Launch& how) {
  std::snprintf(how.message, how.size, "a kernel of %zu arguments requires as many but got %d", wanted, given);
  return 1;
}

int run(void (*body)(void*), void* argument, const Launch& how) {
  Machine own;
  machine = &own;
  own.argument = argument;
  own.body = body;
  own.owner = pthread_self();
  Trap trap;
  here.grid_size = dim3(how.grid[0], how.grid[1], how.grid[2]);
  here.block_size = dim3(how.block[0], how.block[1], how.block[2]);
  unsigned count = here.block_size.x * here.block_size.y * here.block_size.z;
  unsigned long blocks = static_cast<unsigned long>(here.grid_size.x) * here.grid_size.y * here.grid_size.z;
  std::mt19937 random(how.seed);
  std::vector<char> memory(SHARED + GUARD + 1024, static_cast<char>(POISON));
  own.shared = memory.data() + (1024 - reinterpret_cast<std::uintptr_t>(memory.data()) % 1024);
  own.stacks = static_cast<char*>(mmap(nullptr, count * STACK, PROT_READ | PROT_WRITE,
                                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
  if (own.stacks == MAP_FAILED) own.failure = "no memory for the stacks of a block";
  own.threads.resize(count);
  own.warps.resize((count + WARP - 1) / WARP);
  for (unsigned i = 0; i < count; ++i) {
    own.threads[i].rank = i;
    own.threads[i].index = {i % here.block_size.x, i / here.block_size.x % here.block_size.y,
                            i / (here.block_size.x * here.block_size.y)};
  }
  std::vector<unsigned long> order(blocks);
  for (unsigned long i = 0; i < blocks; ++i) order[i] = how.schedule == 1 ? blocks - 1 - i : i;
  if (how.schedule == 2) std::shuffle(order.begin(), order.end(), random);
  for (unsigned long i : order) {
    if (!own.failure.empty()) break;
    here.block = {static_cast<unsigned>(i % here.grid_size.x),
                  static_cast<unsigned>(i / here.grid_size.x % here.grid_size.y),
                  static_cast<unsigned>(i / here.grid_size.x / here.grid_size.y)};
    if (sigsetjmp(own.escape, 1)) own.failure = "an access to an address that is no array's, by " + where(*own.running);
    else run_block(how.schedule, random);
  }
  if (own.stacks != MAP_FAILED) munmap(own.stacks, count * STACK);
  machine = nullptr;
  if (own.failure.empty()) return 0;
  std::snprintf(how.message, how.size, "%s", own.failure.c_str());
  return 1;
}

}  // namespace emulation
