# The one place where a variant's targets are made.

# The header-only core, for programs with a policy set of their own.
add_library(hakmem_core INTERFACE)
add_library(hakmem::core ALIAS hakmem_core)
target_include_directories(hakmem_core INTERFACE $<BUILD_INTERFACE:${HAKMEM_SOURCE_DIR}/cpp>)
target_compile_features(hakmem_core INTERFACE cxx_std_20)
target_link_libraries(hakmem_core INTERFACE Threads::Threads)

include("${CMAKE_CURRENT_LIST_DIR}/HakmemNeeded.cmake")

# hakmem_add_variant(NAME <name> DIGEST <digest> HEADER_DIR <folder> [NO_LIBRARY])
#
# HEADER_DIR holds the generated hakmem_variant.hpp. Makes, in out/<digest>-<name>/:
#   _engine.so            Python module  (target module_<name>)
#   libhakmem_<name>.so   malloc library (target malloc_<name>; NO_LIBRARY: none, for maps with 8-byte blocks)
#   libhakmem_<name>.a    the same for linking into a program (target malloc_<name>_archive)
# and for C++ programs hakmem::<name> (headers only), hakmem::malloc_<name> and hakmem::malloc_<name>_static.
function(hakmem_add_variant)
  cmake_parse_arguments(PARSE_ARGV 0 arg "NO_LIBRARY" "NAME;DIGEST;HEADER_DIR" "")
  set(output "${CMAKE_BINARY_DIR}/out/${arg_DIGEST}-${arg_NAME}")

  add_library(variant_${arg_NAME} INTERFACE)
  add_library(hakmem::${arg_NAME} ALIAS variant_${arg_NAME})
  target_include_directories(variant_${arg_NAME} INTERFACE $<BUILD_INTERFACE:${arg_HEADER_DIR}>)
  target_link_libraries(variant_${arg_NAME} INTERFACE hakmem_core)

  if(HAKMEM_PYTHON_MODULE)
    add_library(table_${arg_NAME} OBJECT "${HAKMEM_SOURCE_DIR}/cpp/src/variant_table.cpp")
    target_include_directories(table_${arg_NAME} PRIVATE "${arg_HEADER_DIR}")
    target_link_libraries(table_${arg_NAME} PRIVATE hakmem_core_flags)
    target_precompile_headers(table_${arg_NAME} REUSE_FROM hakmem_precompiled)

    add_library(module_${arg_NAME} MODULE $<TARGET_OBJECTS:table_${arg_NAME}> $<TARGET_OBJECTS:hakmem_module_object>
                                          $<TARGET_OBJECTS:hakmem_workloads_object>)
    target_link_libraries(module_${arg_NAME} PRIVATE hakmem_host_flags Threads::Threads)
    target_link_options(module_${arg_NAME} PRIVATE -Wl,-O1 -Wl,-s)
    set_target_properties(module_${arg_NAME} PROPERTIES
      PREFIX "" OUTPUT_NAME _engine SUFFIX .so LINKER_LANGUAGE CXX LIBRARY_OUTPUT_DIRECTORY "${output}")
    add_dependencies(hakmem_variants module_${arg_NAME})
  endif()

  if(NOT arg_NO_LIBRARY)
    add_library(malloc_${arg_NAME} SHARED "${HAKMEM_SOURCE_DIR}/cpp/src/variant_malloc.cpp")
    target_include_directories(malloc_${arg_NAME} PRIVATE "${arg_HEADER_DIR}")
    target_link_libraries(malloc_${arg_NAME} PRIVATE hakmem_library_flags Threads::Threads)
    target_precompile_headers(malloc_${arg_NAME} REUSE_FROM hakmem_precompiled)
    set_target_properties(malloc_${arg_NAME} PROPERTIES
      DEFINE_SYMBOL ""
      OUTPUT_NAME hakmem_${arg_NAME} LIBRARY_OUTPUT_DIRECTORY "${output}")
    add_dependencies(hakmem_variants malloc_${arg_NAME})

    # What programs link: the shared library, kept by a program that names nothing of it ...
    add_library(hakmem::malloc_${arg_NAME}_library ALIAS malloc_${arg_NAME})
    add_library(malloc_${arg_NAME}_needed INTERFACE)
    add_library(hakmem::malloc_${arg_NAME} ALIAS malloc_${arg_NAME}_needed)
    target_link_libraries(malloc_${arg_NAME}_needed INTERFACE
      $<LINK_LIBRARY:hakmem_needed,hakmem::malloc_${arg_NAME}_library>)

    # ... or the archive, whole. Who wants to know who serves a process looks the two symbols up in it.
    add_library(malloc_${arg_NAME}_archive STATIC $<TARGET_OBJECTS:malloc_${arg_NAME}>)
    add_library(hakmem::malloc_${arg_NAME}_archive ALIAS malloc_${arg_NAME}_archive)
    set_target_properties(malloc_${arg_NAME}_archive PROPERTIES
      LINKER_LANGUAGE CXX OUTPUT_NAME hakmem_${arg_NAME} ARCHIVE_OUTPUT_DIRECTORY "${output}")
    add_library(malloc_${arg_NAME}_static INTERFACE)
    add_library(hakmem::malloc_${arg_NAME}_static ALIAS malloc_${arg_NAME}_static)
    target_link_libraries(malloc_${arg_NAME}_static INTERFACE
      $<LINK_LIBRARY:WHOLE_ARCHIVE,hakmem::malloc_${arg_NAME}_archive> Threads::Threads)
    target_link_options(malloc_${arg_NAME}_static INTERFACE
      LINKER:--export-dynamic-symbol=hakmem_id,--export-dynamic-symbol=hakmem_owns)

    foreach(target malloc_${arg_NAME}_needed malloc_${arg_NAME}_static)
      target_include_directories(${target} INTERFACE $<BUILD_INTERFACE:${HAKMEM_SOURCE_DIR}/cpp>)
    endforeach()
  endif()
  if(COMMAND hakmem_package_variant)
    hakmem_package_variant(${arg_NAME} "${arg_HEADER_DIR}")
  endif()
endfunction()

# hakmem_add_variant_file(FILE): the same from a variant's TOML file; header and record are generated now, in
# gen/<name>/. Sets HAKMEM_DIGEST_<name>.
function(hakmem_add_variant_file file)
  get_filename_component(name "${file}" NAME_WE)
  set(folder "${CMAKE_BINARY_DIR}/gen/${name}")
  string(JOIN " " more_flags ${HAKMEM_MODE_FLAGS})
  execute_process(
    COMMAND "${CMAKE_COMMAND}" -E env "PYTHONPATH=${HAKMEM_SOURCE_DIR}/python:$ENV{PYTHONPATH}" "${HAKMEM_PYTHON}" -B
            -m hakmem.spec generate "${file}" --compiler "${CMAKE_CXX_COMPILER}" "--more-flags=${more_flags}"
            -o "${folder}"
    OUTPUT_VARIABLE digest OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_VARIABLE complaint RESULT_VARIABLE failed)
  if(failed)
    message(FATAL_ERROR "${complaint}")
  endif()
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${file}")
  hakmem_add_variant(NAME ${name} DIGEST ${digest} HEADER_DIR "${folder}")
  set(HAKMEM_DIGEST_${name} ${digest} PARENT_SCOPE)
endfunction()
