# The one place where compiler and linker flags are set. The first two lists go into every digest
# (python/hakmem/toolchain.py reads them).

# Every object of the core. The malloc library names its functions malloc and free, so the compiler must assume
# nothing about those names.
set(HAKMEM_CORE_FLAGS
    -std=c++20 -O2 -fPIC -fvisibility=hidden -fno-plt -fno-semantic-interposition -fcf-protection=none
    -fno-stack-protector -fno-exceptions -fno-rtti -fno-builtin-malloc -fno-builtin-calloc -fno-builtin-realloc
    -fno-builtin-free -fno-builtin-aligned_alloc -fno-builtin-memalign -fno-builtin-posix_memalign -Wall -Wextra
    -Werror -Wno-attribute-alias -Wno-missing-attributes)

# Linking a malloc library.
set(HAKMEM_LIBRARY_LINK_FLAGS
    -Wl,-z,now -Wl,-z,relro -Wl,--hash-style=gnu -Wl,-O1 -Wl,--as-needed -Wl,--no-undefined)

# Code around the core, compiled once for all variants: Python module, workloads, runner. It may throw.
set(HAKMEM_HOST_FLAGS
    -std=c++20 -O2 -fPIC -fvisibility=hidden -fno-plt -fcf-protection=none -fno-stack-protector -fno-builtin-malloc
    -fno-builtin-calloc -fno-builtin-realloc -fno-builtin-free -fno-builtin-aligned_alloc -fno-builtin-memalign
    -fno-builtin-posix_memalign -Wall -Wextra -Werror)

set(HAKMEM_SANITIZE "" CACHE STRING "Sanitizers for every target: address, thread, undefined, or empty")
set_property(CACHE HAKMEM_SANITIZE PROPERTY STRINGS "" address thread undefined)

set(HAKMEM_MODE_FLAGS "")
if(CMAKE_BUILD_TYPE STREQUAL "Debug")
  set(HAKMEM_MODE_FLAGS -Og -g)
endif()
if(HAKMEM_SANITIZE)
  set(HAKMEM_MODE_FLAGS -O1 -g -fno-omit-frame-pointer -fsanitize=${HAKMEM_SANITIZE} -fno-sanitize-recover=all)
endif()

# CMake's own additions and the environment's are left out: a digest must say everything.
set(CMAKE_CXX_FLAGS "")
set(CMAKE_CXX_FLAGS_RELEASE "")
set(CMAKE_CXX_FLAGS_DEBUG "")
set(CMAKE_SHARED_LINKER_FLAGS "")
set(CMAKE_MODULE_LINKER_FLAGS "")

add_library(hakmem_core_flags INTERFACE)
target_compile_options(hakmem_core_flags INTERFACE ${HAKMEM_CORE_FLAGS} ${HAKMEM_MODE_FLAGS})
target_include_directories(hakmem_core_flags INTERFACE "${HAKMEM_SOURCE_DIR}/cpp")

add_library(hakmem_library_flags INTERFACE)
target_link_options(hakmem_library_flags INTERFACE ${HAKMEM_LIBRARY_LINK_FLAGS})
target_link_libraries(hakmem_library_flags INTERFACE hakmem_core_flags)

add_library(hakmem_host_flags INTERFACE)
target_compile_options(hakmem_host_flags INTERFACE ${HAKMEM_HOST_FLAGS} ${HAKMEM_MODE_FLAGS})
target_include_directories(hakmem_host_flags INTERFACE "${HAKMEM_SOURCE_DIR}/cpp")

if(HAKMEM_SANITIZE)
  foreach(target hakmem_core_flags hakmem_host_flags)
    target_link_options(${target} INTERFACE -fsanitize=${HAKMEM_SANITIZE})
  endforeach()
endif()
