# Libraries from the system, each as one imported target. See docs/SECURITY.md for versions.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)

# BoringSSL: Debian's package by default, or a prefix with include/openssl and lib/.
set(WGRING_BORINGSSL_PREFIX "" CACHE PATH "BoringSSL installation to use in place of Debian's")
if(WGRING_BORINGSSL_PREFIX)
  find_path(WGRING_BORINGSSL_INCLUDE openssl/chacha.h PATHS "${WGRING_BORINGSSL_PREFIX}/include"
            NO_DEFAULT_PATH REQUIRED)
  find_library(WGRING_BORINGSSL_CRYPTO crypto PATHS "${WGRING_BORINGSSL_PREFIX}/lib"
               NO_DEFAULT_PATH REQUIRED)
else()
  find_path(WGRING_BORINGSSL_INCLUDE openssl/chacha.h PATHS /usr/include/android NO_DEFAULT_PATH
            REQUIRED)
  find_library(WGRING_BORINGSSL_CRYPTO crypto
               PATHS /usr/lib/${CMAKE_LIBRARY_ARCHITECTURE}/android NO_DEFAULT_PATH REQUIRED)
endif()
get_filename_component(wgring_boringssl_dir "${WGRING_BORINGSSL_CRYPTO}" DIRECTORY)
add_library(wgring_boringssl INTERFACE)
add_library(wgring::boringssl ALIAS wgring_boringssl)
target_include_directories(wgring_boringssl SYSTEM INTERFACE "${WGRING_BORINGSSL_INCLUDE}")
target_link_libraries(wgring_boringssl INTERFACE "${WGRING_BORINGSSL_CRYPTO}")
target_link_options(wgring_boringssl INTERFACE "-Wl,-rpath,${wgring_boringssl_dir}")
set(CMAKE_INSTALL_RPATH "${wgring_boringssl_dir}")

pkg_check_modules(SODIUM REQUIRED IMPORTED_TARGET libsodium)
add_library(wgring::sodium ALIAS PkgConfig::SODIUM)
pkg_check_modules(URING REQUIRED IMPORTED_TARGET liburing)
add_library(wgring::uring ALIAS PkgConfig::URING)
pkg_check_modules(MNL REQUIRED IMPORTED_TARGET libmnl)
add_library(wgring::mnl ALIAS PkgConfig::MNL)
find_library(WGRING_B2 b2 REQUIRED)
add_library(wgring_b2 INTERFACE)
add_library(wgring::b2 ALIAS wgring_b2)
target_link_libraries(wgring_b2 INTERFACE "${WGRING_B2}")

set(WGRING_IPSECMB AUTO CACHE STRING "ChaCha20-Poly1305 by intel-ipsec-mb: AUTO, ON or OFF")
find_path(WGRING_IPSECMB_INCLUDE intel-ipsec-mb.h)
find_library(WGRING_IPSECMB_LIBRARY IPSec_MB)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$"
   AND NOT WGRING_IPSECMB STREQUAL OFF
   AND WGRING_IPSECMB_INCLUDE
   AND WGRING_IPSECMB_LIBRARY)
  add_library(wgring_ipsecmb INTERFACE)
  add_library(wgring::ipsecmb ALIAS wgring_ipsecmb)
  target_include_directories(wgring_ipsecmb SYSTEM INTERFACE "${WGRING_IPSECMB_INCLUDE}")
  target_link_libraries(wgring_ipsecmb INTERFACE "${WGRING_IPSECMB_LIBRARY}")
elseif(WGRING_IPSECMB STREQUAL ON)
  message(FATAL_ERROR "WGRING_IPSECMB=ON needs x86-64 and intel-ipsec-mb (libipsec-mb-dev)")
endif()

pkg_check_modules(SECCOMP REQUIRED IMPORTED_TARGET libseccomp)
add_library(wgring::seccomp ALIAS PkgConfig::SECCOMP)

if(WGRING_TESTS)
  find_package(GTest REQUIRED)
endif()
