# How everything is compiled: language, warnings, sanitizers, and the two target functions.
option(WGRING_TESTS "Build the tests" ON)
set(WGRING_SANITIZE "" CACHE STRING "Sanitizers to build with: '', 'address,undefined' or 'thread'")
option(WGRING_VERIFY "Costly checks (WG_VERIFY) on" OFF)
option(WGRING_FUZZ "Build fuzz/ (needs clang)" OFF)
option(WGRING_BENCH "Build bench/ (needs Google Benchmark)" OFF)
# Off: in bench_pipeline, three runs in turn, it wins 2.5 % of a 64-byte packet (505 against 492 ns,
# without the kernel, whose share is larger) and nothing of a super-packet.
option(WGRING_LTO "Link-time optimisation" OFF)
option(WGRING_CCACHE "Compile through ccache where it is installed" ON)

set(CMAKE_CXX_STANDARD 23)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
include(CheckPIESupported)
check_pie_supported(LANGUAGES CXX)

find_program(WGRING_CCACHE_PROGRAM ccache)
if(WGRING_CCACHE AND WGRING_CCACHE_PROGRAM AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER "${WGRING_CCACHE_PROGRAM}")
endif()
if(WGRING_LTO)
  set(CMAKE_INTERPROCEDURAL_OPTIMIZATION ON)
endif()

add_library(wgring_flags INTERFACE)
target_include_directories(wgring_flags INTERFACE "${PROJECT_SOURCE_DIR}")
target_compile_options(
  wgring_flags
  INTERFACE -Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wshadow -Wold-style-cast
            -Wcast-align -Wnon-virtual-dtor -Woverloaded-virtual -Wdouble-promotion -Wformat=2
            -Wimplicit-fallthrough -Wundef -Werror -fno-strict-aliasing -fstack-protector-strong)
# Bounds of spans and containers are checked in every build: security stands before speed.
target_compile_definitions(wgring_flags INTERFACE _GNU_SOURCE _GLIBCXX_ASSERTIONS)
if(WGRING_VERIFY)
  target_compile_definitions(wgring_flags INTERFACE WGRING_VERIFY)
endif()
if(WGRING_SANITIZE)
  target_compile_options(wgring_flags INTERFACE -fsanitize=${WGRING_SANITIZE}
                                                -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(wgring_flags INTERFACE -fsanitize=${WGRING_SANITIZE})
else()
  # Sanitizers have their own checks of memory; these are for what users run.
  target_compile_options(
    wgring_flags INTERFACE $<$<CONFIG:Release,RelWithDebInfo>:-U_FORTIFY_SOURCE
                           -D_FORTIFY_SOURCE=2>)
  target_link_options(wgring_flags INTERFACE -Wl,-z,relro,-z,now -Wl,--as-needed)
endif()

# The packet path: no exception crosses it and none is thrown in it.
add_library(wgring_flags_core INTERFACE)
target_link_libraries(wgring_flags_core INTERFACE wgring_flags)
target_compile_options(wgring_flags_core INTERFACE -fno-exceptions -fno-rtti)

# wgring_library(base SOURCES a.cpp b.cpp LINKS wgring_x): a folder of the packet path.
function(wgring_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINKS;PRIVATE_LINKS" ${ARGN})
  add_library(wgring_${name} STATIC ${ARG_SOURCES})
  target_link_libraries(
    wgring_${name}
    PUBLIC ${ARG_LINKS} $<BUILD_INTERFACE:wgring_flags>
    PRIVATE wgring_flags_core ${ARG_PRIVATE_LINKS})
endfunction()

# wgring_test(base LINKS wgring_base): one GoogleTest binary per folder, every *_test.cpp beside it.
# Each case is a ctest case of its own ("base.Bytes.LoadsLittleEndian"), found when ctest runs.
include(GoogleTest)
set(wgring_same_pch "SHELL:-Xclang -fno-pch-timestamp") # the same bytes each time: for ccache
function(wgring_test name)
  cmake_parse_arguments(ARG "" "" "LINKS" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/*_test.cpp")
  add_executable(test_${name} ${sources})
  target_link_libraries(test_${name} PRIVATE ${ARG_LINKS} GTest::gmock GTest::gtest_main)
  # Half of a sanitizer's build was the optimiser on GoogleTest's macros. What is tested stays
  # optimised: it is in libraries. -Wno-cpp: the C library remarks on fortifying without -O.
  target_compile_options(test_${name} PRIVATE -O0 -g1 -Wno-cpp
                                                 $<$<CXX_COMPILER_ID:Clang>:${wgring_same_pch}>)
  target_precompile_headers(test_${name} PRIVATE <gmock/gmock.h> <gtest/gtest.h>)
  target_compile_definitions(
    test_${name} PRIVATE WGRING_VECTORS="${PROJECT_SOURCE_DIR}/tests/vectors")
  gtest_discover_tests(
    test_${name}
    TEST_PREFIX "${name}."
    DISCOVERY_MODE PRE_TEST
    DISCOVERY_TIMEOUT 60
    PROPERTIES TIMEOUT 600)
endfunction()
