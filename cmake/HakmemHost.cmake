# Code around the core that is compiled once for all variants: the Python module's object, the workloads' object,
# the benchmark runner and the null allocator.

find_package(Threads REQUIRED)

# Headers of Python and pybind11, asked of the interpreter that will load the modules.
if(NOT HAKMEM_PYTHON)
  if(Python_EXECUTABLE)
    set(HAKMEM_PYTHON "${Python_EXECUTABLE}")
  else()
    find_program(HAKMEM_PYTHON NAMES python3 python REQUIRED)
  endif()
endif()

function(hakmem_ask_python variable code)
  execute_process(COMMAND "${HAKMEM_PYTHON}" -c "${code}" OUTPUT_VARIABLE answer RESULT_VARIABLE failed
                  ERROR_VARIABLE complaint OUTPUT_STRIP_TRAILING_WHITESPACE)
  if(failed)
    message(FATAL_ERROR "hakmem: ${HAKMEM_PYTHON} could not answer: ${complaint}")
  endif()
  set(${variable} "${answer}" PARENT_SCOPE)
endfunction()

if(HAKMEM_PYTHON_MODULE)
  hakmem_ask_python(_python_include "import sysconfig; print(sysconfig.get_path('include'))")
  hakmem_ask_python(_pybind11_include "import pybind11; print(pybind11.get_include())")
  if(NOT EXISTS "${_python_include}/Python.h")
    message(FATAL_ERROR "hakmem: expected Python's headers (Python.h) in ${_python_include}, got none")
  endif()

  # The only translation unit that sees pybind11; it knows a variant as `extern const EngineTable engine_table`.
  add_library(hakmem_module_object OBJECT "${HAKMEM_SOURCE_DIR}/cpp/src/module.cpp")
  target_link_libraries(hakmem_module_object PRIVATE hakmem_host_flags)
  target_include_directories(hakmem_module_object SYSTEM PRIVATE "${_python_include}" "${_pybind11_include}")

  # The workload loops over an EngineTable.
  add_library(hakmem_workloads_object OBJECT "${HAKMEM_SOURCE_DIR}/cpp/src/table_runner.cpp")
  target_link_libraries(hakmem_workloads_object PRIVATE hakmem_host_flags)
endif()

# The standard headers that the core includes, parsed once for all variants: 0.35 of 2.3 s a variant (g++ 12).
file(CONFIGURE OUTPUT "${CMAKE_BINARY_DIR}/precompiled.cpp" CONTENT "")
add_library(hakmem_precompiled OBJECT EXCLUDE_FROM_ALL "${CMAKE_BINARY_DIR}/precompiled.cpp")
target_link_libraries(hakmem_precompiled PRIVATE hakmem_core_flags)
target_precompile_headers(hakmem_precompiled PRIVATE
  <array> <atomic> <bit> <cerrno> <cstddef> <cstdint> <cstdlib> <cstring> <initializer_list> <new> <type_traits>
  <pthread.h> <sys/mman.h> <time.h> <unistd.h>)

# Preloaded beside any malloc library by `hakmem run`. Imports no C++ runtime.
add_library(hakmem_witness SHARED EXCLUDE_FROM_ALL "${HAKMEM_SOURCE_DIR}/cpp/src/witness.cpp")
target_link_libraries(hakmem_witness PRIVATE hakmem_library_flags ${CMAKE_DL_LIBS})
set_target_properties(hakmem_witness PROPERTIES LIBRARY_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/runner")

# Preloaded by `hakmem record`, and what makes the trace of its files. `hakmem_recording` builds both.
add_library(hakmem_recorder SHARED EXCLUDE_FROM_ALL "${HAKMEM_SOURCE_DIR}/cpp/src/recorder.cpp")
target_link_libraries(hakmem_recorder PRIVATE hakmem_library_flags ${CMAKE_DL_LIBS})
add_executable(hakmem_merge EXCLUDE_FROM_ALL "${HAKMEM_SOURCE_DIR}/cpp/src/merge.cpp")
target_link_libraries(hakmem_merge PRIVATE hakmem_host_flags)
set_target_properties(hakmem_recorder hakmem_merge PROPERTIES
  LIBRARY_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/runner"
  RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/runner")
add_custom_target(hakmem_recording DEPENDS hakmem_recorder hakmem_merge)

if(HAKMEM_RUNNER)
  # Serves every request from one static buffer: the cost of the call alone.
  add_library(hakmem_null SHARED "${HAKMEM_SOURCE_DIR}/cpp/src/null_malloc.cpp")
  target_link_libraries(hakmem_null PRIVATE hakmem_host_flags)

  # Makes the plans that the runner replays.
  add_executable(hakmem_plan "${HAKMEM_SOURCE_DIR}/cpp/src/plan.cpp")
  target_link_libraries(hakmem_plan PRIVATE hakmem_host_flags)

  add_executable(hakmem_runner "${HAKMEM_SOURCE_DIR}/cpp/src/runner.cpp")
  target_link_libraries(hakmem_runner PRIVATE hakmem_host_flags hakmem_null Threads::Threads ${CMAKE_DL_LIBS})
  add_dependencies(hakmem_runner hakmem_plan)
  set_target_properties(hakmem_null hakmem_plan hakmem_runner PROPERTIES
    LIBRARY_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/runner"
    RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/runner"
    BUILD_RPATH_USE_ORIGIN ON
    BUILD_RPATH "$ORIGIN")
endif()
