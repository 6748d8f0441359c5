#!/bin/sh
# Builds without CMake. PACKAGE=hakmem_malloc_unified_static makes one file to hand over.
set -eu
package=${PACKAGE:-hakmem_malloc_unified}
flags=$(pkg-config --cflags --libs "$package")
folder=$(pkg-config --variable=libdir "$package")
"${CXX:-g++}" -std=c++20 -O2 -Wall -Wextra -Wpedantic ${CXXFLAGS:-} main.cpp -o example $flags "-Wl,-rpath,$folder"
