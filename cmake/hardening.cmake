# SPDX-License-Identifier: Apache-2.0
# Release builds are position independent, with checked buffers, canaries and read-only relocations.
# Assertions stay: a programming error must end the program, not a backup's truth.
include(CheckPIESupported)
check_pie_supported()
set(CMAKE_C_FLAGS_RELEASE "-O2 -g")

if(CMAKE_BUILD_TYPE STREQUAL "Release" OR CMAKE_BUILD_TYPE STREQUAL "RelWithDebInfo")
    target_compile_options(lifeboat_flags INTERFACE
        -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2 -fstack-protector-strong -fstack-clash-protection)
    target_link_options(lifeboat_flags INTERFACE -Wl,-z,relro,-z,now -Wl,--as-needed)
endif()
