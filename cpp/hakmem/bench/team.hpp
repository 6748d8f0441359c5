// Threads of one measurement: all start a pass at a barrier, and the time covers the passes alone. Thread creation, the
// uncounted first pass and the end of the threads lie outside.
#pragma once

#include <pthread.h>

#include <cstdint>
#include <system_error>
#include <vector>

#include <hakmem/bench/run.hpp>

namespace hakmem::bench {

template <class Body>  // body(thread, pass): one pass of one thread; pass 0 is not counted
class Team {
 public:
  Team(Run& run, unsigned threads, Body& body) : run_(run), threads_(threads), body_(body) {
    pthread_barrier_init(&barrier_, nullptr, threads);
  }
  Team(const Team&) = delete;
  ~Team() { pthread_barrier_destroy(&barrier_); }

  void work() {
    std::vector<Member> members(threads_);
    for (unsigned i = 0; i < threads_; ++i) {
      members[i].team = this;
      members[i].index = i;
      const int error = pthread_create(&members[i].thread, nullptr, &Team::enter, &members[i]);
      if (error) throw std::system_error(error, std::generic_category(), "pthread_create");
    }
    for (Member& member : members) pthread_join(member.thread, nullptr);
  }

 private:
  struct Member {
    Team* team;
    unsigned index;
    pthread_t thread;
  };

  static void* enter(void* argument) {
    const Member& me = *static_cast<Member*>(argument);
    me.team->loop(me.index);
    return nullptr;
  }

  void loop(unsigned index) {
    body_(index, 0);
    pthread_barrier_wait(&barrier_);
    if (index == 0) run_.begin();
    for (std::uint64_t pass = 1; !done_; ++pass) {
      pthread_barrier_wait(&barrier_);
      body_(index, pass);
      pthread_barrier_wait(&barrier_);
      if (index == 0) done_ = run_.finished_pass();
      pthread_barrier_wait(&barrier_);
    }
  }

  Run& run_;
  unsigned threads_;
  Body& body_;
  pthread_barrier_t barrier_;
  bool done_ = false;  // written by thread 0 between two barriers
};

template <class Body>
void measure_threads(Run& run, unsigned threads, std::uint64_t ops_per_pass, Body&& body) {
  Team<std::remove_reference_t<Body>>(run, threads, body).work();
  run.threads = threads;
  run.ops = run.passes * ops_per_pass;
}

}  // namespace hakmem::bench
