// For the tests that are compiled with exceptions: a header of its own, because clang takes no `try` without them.
#pragma once

namespace hakmem::test {

// Whether `f()` throws an Error.
template <class Error, class F>
bool throws(F&& f) {
  try {
    f();
  } catch (const Error&) {
    return true;
  }
  return false;
}

}  // namespace hakmem::test
