# SPDX-License-Identifier: Apache-2.0
# LIFEBOAT_SANITIZE: a value of -fsanitize= ("address,undefined", "thread"); LIFEBOAT_COVERAGE; LIFEBOAT_FUZZ.
set(LIFEBOAT_SANITIZE "" CACHE STRING "Sanitizers to build with, as -fsanitize= takes them")
option(LIFEBOAT_COVERAGE "Measure coverage" OFF)
option(LIFEBOAT_FUZZ "Build fuzz targets as libFuzzer programs (clang only)" OFF)

if(LIFEBOAT_SANITIZE)
    target_compile_options(lifeboat_flags INTERFACE
        -fsanitize=${LIFEBOAT_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
    target_link_options(lifeboat_flags INTERFACE -fsanitize=${LIFEBOAT_SANITIZE})
endif()
if(LIFEBOAT_COVERAGE)
    target_compile_options(lifeboat_flags INTERFACE --coverage)
    target_link_options(lifeboat_flags INTERFACE --coverage)
endif()
if(LIFEBOAT_FUZZ)
    target_compile_options(lifeboat_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()
