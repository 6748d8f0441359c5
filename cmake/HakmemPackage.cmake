# What `cmake --install` puts under the prefix: headers, malloc libraries, and what find_package(hakmem) and pkg-config read.
# Everything in it is relative to itself: the prefix may be moved.

include(CMakePackageConfigHelpers)
include(GNUInstallDirs)

if(IS_ABSOLUTE "${CMAKE_INSTALL_LIBDIR}" OR IS_ABSOLUTE "${CMAKE_INSTALL_INCLUDEDIR}")
  message(FATAL_ERROR "hakmem: expected CMAKE_INSTALL_LIBDIR and CMAKE_INSTALL_INCLUDEDIR relative to the prefix, "
                      "got ${CMAKE_INSTALL_LIBDIR} and ${CMAKE_INSTALL_INCLUDEDIR}")
endif()
set(_package "${CMAKE_INSTALL_LIBDIR}/cmake/hakmem")

# The workloads of bench/ and the sources stay at home.
install(DIRECTORY "${HAKMEM_SOURCE_DIR}/cpp/hakmem" DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}"
        FILES_MATCHING PATTERN "*.hpp" PATTERN bench EXCLUDE)

target_include_directories(hakmem_core INTERFACE $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
set_target_properties(hakmem_core PROPERTIES EXPORT_NAME core)
install(TARGETS hakmem_core EXPORT hakmem)
install(EXPORT hakmem NAMESPACE hakmem:: FILE hakmemTargets.cmake DESTINATION "${_package}")

file(CONFIGURE OUTPUT "${CMAKE_BINARY_DIR}/package/hakmemConfig.cmake" @ONLY CONTENT
[[if(CMAKE_VERSION VERSION_LESS 3.24)
  set(hakmem_FOUND FALSE)
  set(hakmem_NOT_FOUND_MESSAGE "hakmem: expected CMake 3.24 or newer (for whole archives), got ${CMAKE_VERSION}")
  return()
endif()
include(CMakeFindDependencyMacro)
find_dependency(Threads)
include("${CMAKE_CURRENT_LIST_DIR}/HakmemNeeded.cmake")
include("${CMAKE_CURRENT_LIST_DIR}/hakmemTargets.cmake")
]])
write_basic_package_version_file("${CMAKE_BINARY_DIR}/package/hakmemConfigVersion.cmake" COMPATIBILITY SameMinorVersion)
install(FILES "${CMAKE_BINARY_DIR}/package/hakmemConfig.cmake" "${CMAKE_BINARY_DIR}/package/hakmemConfigVersion.cmake"
              "${HAKMEM_SOURCE_DIR}/cmake/HakmemNeeded.cmake"
        DESTINATION "${_package}")

# hakmem_pkg_config(NAME DESCRIPTION CFLAGS LIBS)
file(RELATIVE_PATH _up "/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/")
string(REGEX REPLACE "/$" "" _up "${_up}")
function(hakmem_pkg_config name description cflags libs)
  file(CONFIGURE OUTPUT "${CMAKE_BINARY_DIR}/package/${name}.pc" @ONLY CONTENT
[[prefix=${pcfiledir}/@_up@
includedir=${prefix}/@CMAKE_INSTALL_INCLUDEDIR@
libdir=${prefix}/@CMAKE_INSTALL_LIBDIR@

Name: @name@
Description: @description@
Version: @PROJECT_VERSION@
Cflags: @cflags@
Libs: @libs@
]])
  install(FILES "${CMAKE_BINARY_DIR}/package/${name}.pc" DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig")
endfunction()

hakmem_pkg_config(hakmem "The header-only core of hakmem" "-I\${includedir} -pthread" "-pthread")

# hakmem_package_variant(<name> <folder of the generated header>): called for each variant by hakmem_add_variant.
function(hakmem_package_variant name header_dir)
  set(include "${CMAKE_INSTALL_INCLUDEDIR}/hakmem_variants/${name}")
  install(FILES "${header_dir}/hakmem_variant.hpp" DESTINATION "${include}")
  target_include_directories(variant_${name} INTERFACE $<INSTALL_INTERFACE:${include}>)
  set_target_properties(variant_${name} PROPERTIES EXPORT_NAME ${name})
  install(TARGETS variant_${name} EXPORT hakmem)
  if(NOT TARGET malloc_${name})
    return()
  endif()

  set_target_properties(malloc_${name} PROPERTIES EXPORT_NAME malloc_${name}_library)
  set_target_properties(malloc_${name}_needed PROPERTIES EXPORT_NAME malloc_${name})
  install(TARGETS malloc_${name} malloc_${name}_needed malloc_${name}_archive malloc_${name}_static EXPORT hakmem
          LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}" ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}"
          INCLUDES DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}")
  hakmem_pkg_config(hakmem_malloc_${name} "hakmem's ${name} as the program's malloc, a shared library" "-I\${includedir}"
                    "-L\${libdir} -Wl,--push-state,--no-as-needed,-lhakmem_${name},--pop-state")
  hakmem_pkg_config(hakmem_malloc_${name}_static "hakmem's ${name} as the program's malloc, linked into it"
                    "-I\${includedir}" "-Wl,--export-dynamic-symbol=hakmem_id,--export-dynamic-symbol=hakmem_owns \
-Wl,--whole-archive,\${libdir}/libhakmem_${name}.a,--no-whole-archive -pthread")
endfunction()
