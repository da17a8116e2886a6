# SPDX-License-Identifier: Apache-2.0
# Third-party libraries as imported targets deps::<name>; all are Debian packages (see e2e/setup).
find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)

function(lifeboat_dependency name module)
    pkg_check_modules(${name} REQUIRED IMPORTED_TARGET ${module})
    add_library(deps::${name} ALIAS PkgConfig::${name})
endfunction()

lifeboat_dependency(curl libcurl>=7.88)
lifeboat_dependency(jansson jansson>=2.14)
lifeboat_dependency(yaml yaml-0.1)
lifeboat_dependency(pq libpq>=15)
lifeboat_dependency(zstd libzstd>=1.5)
lifeboat_dependency(crypto libcrypto>=3.0)
lifeboat_dependency(ssl libssl>=3.0)
lifeboat_dependency(xxhash libxxhash>=0.8)
lifeboat_dependency(isal libisal>=2.30)
lifeboat_dependency(expat expat>=2.5)
lifeboat_dependency(websockets libwebsockets>=4.1)
lifeboat_dependency(glib glib-2.0>=2.70)

target_link_libraries(lifeboat_flags INTERFACE Threads::Threads)
