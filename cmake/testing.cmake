# SPDX-License-Identifier: Apache-2.0
# Every <component>/tests/test_<module>.c is a cmocka program; every <component>/fuzz/fuzz_<name>.c is a libFuzzer
# program under LIFEBOAT_FUZZ and else a program that replays <component>/fuzz/corpus/<name>/.
find_package(PkgConfig REQUIRED)
pkg_check_modules(cmocka REQUIRED IMPORTED_TARGET cmocka>=1.1)

option(LIFEBOAT_FULL "tests try everything, or much more, instead of a sample; fuzzers run for five minutes" OFF)
if(LIFEBOAT_FULL)
    set(test_timeout 36000)
    set(full_option "LIFEBOAT_FULL=1")
    set(fuzz_amount -max_total_time=300)
    set(fuzz_timeout 900)
else()
    set(test_timeout 600)
    set(full_option "")
    set(fuzz_amount -runs=2000)
    set(fuzz_timeout 120)
endif()

# Read by programs built with ThreadSanitizer only.
set(tsan_options "TSAN_OPTIONS=suppressions=${CMAKE_SOURCE_DIR}/cmake/tsan-suppressions.txt")

function(lifeboat_tests component library)
    file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/${component}/tests/test_*.c)
    file(GLOB helpers CONFIGURE_DEPENDS
        ${CMAKE_SOURCE_DIR}/common/tests/helper_*.c ${CMAKE_SOURCE_DIR}/${component}/tests/helper_*.c)
    list(REMOVE_DUPLICATES helpers)
    add_library(${component}_test_helpers STATIC ${helpers})
    target_link_libraries(${component}_test_helpers PUBLIC ${library} PkgConfig::cmocka)
    target_compile_definitions(${component}_test_helpers PUBLIC LIFEBOAT_SOURCE="${CMAKE_SOURCE_DIR}")
    foreach(source IN LISTS sources)
        get_filename_component(name ${source} NAME_WE)
        add_executable(${component}_${name} ${source})
        target_link_libraries(${component}_${name} PRIVATE ${component}_test_helpers)
        add_test(NAME ${component}/${name} COMMAND ${component}_${name})
        set_tests_properties(${component}/${name} PROPERTIES
            TIMEOUT ${test_timeout} SKIP_RETURN_CODE 77 ENVIRONMENT "${tsan_options};${full_option}")
    endforeach()
endfunction()

function(lifeboat_fuzzers component library)
    file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/${component}/fuzz/fuzz_*.c)
    foreach(source IN LISTS sources)
        get_filename_component(name ${source} NAME_WE)
        string(REPLACE fuzz_ "" corpus ${name})
        set(corpus ${CMAKE_SOURCE_DIR}/${component}/fuzz/corpus/${corpus})
        add_executable(${name} ${source})
        target_link_libraries(${name} PRIVATE ${library})
        if(LIFEBOAT_FUZZ)
            target_link_options(${name} PRIVATE -fsanitize=fuzzer)
            # libFuzzer writes what it finds into its first directory: never into the sources
            set(found ${CMAKE_BINARY_DIR}/corpus/${name})
            file(MAKE_DIRECTORY ${found})
            add_test(NAME fuzz/${name}
                COMMAND ${name} -seed=1 ${fuzz_amount} -artifact_prefix=${found}- ${found} ${corpus})
        else()
            target_sources(${name} PRIVATE ${CMAKE_SOURCE_DIR}/cmake/replay.c)
            add_test(NAME fuzz/${name} COMMAND ${name} ${corpus})
        endif()
        set_tests_properties(fuzz/${name} PROPERTIES TIMEOUT ${fuzz_timeout})
    endforeach()
endfunction()
