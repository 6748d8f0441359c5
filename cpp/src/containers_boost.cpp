// hakmem_containers_boost: the container loops on Boost's fast_pool_allocator, with its lock and without.
#include <boost/pool/pool_alloc.hpp>

#include <hakmem/bench/container_race.hpp>

namespace {

template <class Mutex>
struct FastPool {
  template <class T>
  using Allocator = boost::fast_pool_allocator<T, boost::default_user_allocator_new_delete, Mutex>;
  template <class T>
  Allocator<T> of() const {
    return {};
  }
  bool owns(const void*) const { return true; }
};
struct Locked : FastPool<boost::details::pool::default_mutex> {
  static constexpr std::string_view kName = "boost";
};
struct Unlocked : FastPool<boost::details::pool::null_mutex> {
  static constexpr std::string_view kName = "boost-unlocked";
};

}  // namespace

int main(int argc, char** argv) { return hakmem::bench::race_containers<Locked, Unlocked>(argc, argv, ""); }
