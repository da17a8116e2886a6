# SPDX-License-Identifier: Apache-2.0
# lifeboat_flags: what every target is compiled with.
option(LIFEBOAT_WERROR "Treat warnings as errors" OFF)

add_library(lifeboat_flags INTERFACE)
target_compile_definitions(lifeboat_flags INTERFACE
    _GNU_SOURCE LIFEBOAT_VERSION="${PROJECT_VERSION}")
target_compile_options(lifeboat_flags INTERFACE
    -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wformat=2 -Wconversion
    -Wundef -Wvla -Wimplicit-fallthrough -Wcast-qual -Wwrite-strings
    $<$<BOOL:${LIFEBOAT_WERROR}>:-Werror>)
