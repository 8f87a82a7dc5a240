# What `cmake --install` puts where: the component `runtime` is what a host needs, `development` what modules are built with.
# Everything finds the rest from where it is itself, so that the prefix may be moved; but for the units, for systemd wants
# absolute paths.
include(CMakePackageConfigHelpers)

file(RELATIVE_PATH libraries_from_programs ${CMAKE_INSTALL_FULL_BINDIR} ${CMAKE_INSTALL_FULL_LIBDIR})
set_target_properties(weft PROPERTIES INSTALL_RPATH $ORIGIN/${libraries_from_programs})

set(cmake_folder ${CMAKE_INSTALL_LIBDIR}/cmake/weft)
install(TARGETS weft RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT runtime)
install(TARGETS weft_contract EXPORT weftTargets
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT runtime NAMELINK_COMPONENT development
  FILE_SET HEADERS DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT development)
install(EXPORT weftTargets NAMESPACE weft:: DESTINATION ${cmake_folder} COMPONENT development)
foreach(optional json asio)
  install(TARGETS weft_${optional} EXPORT weft-${optional}Targets
    FILE_SET HEADERS DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT development)
  install(EXPORT weft-${optional}Targets NAMESPACE weft:: DESTINATION ${cmake_folder} COMPONENT development)
endforeach()

set(WEFT_BOOST_VERSION ${Boost_VERSION_STRING})
set(WEFT_NO_GNU_UNIQUE "")
if(CMAKE_CXX_COMPILER_ID STREQUAL GNU)
  set(WEFT_NO_GNU_UNIQUE "-fno-gnu-unique ")
endif()
set(made ${PROJECT_BINARY_DIR}/install)
configure_package_config_file(cmake/weftConfig.cmake.in ${made}/weftConfig.cmake INSTALL_DESTINATION ${cmake_folder})
# Until 1.0 a minor version may change the interface.
write_basic_package_version_file(${made}/weftConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${made}/weftConfig.cmake ${made}/weftConfigVersion.cmake cmake/WeftModule.cmake
  DESTINATION ${cmake_folder} COMPONENT development)

set(pkgconfig_folder ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
file(RELATIVE_PATH WEFT_PREFIX_FROM_PKGCONFIG ${CMAKE_INSTALL_PREFIX}/${pkgconfig_folder} ${CMAKE_INSTALL_PREFIX})
string(REGEX REPLACE "/$" "" WEFT_PREFIX_FROM_PKGCONFIG "${WEFT_PREFIX_FROM_PKGCONFIG}")
configure_file(cmake/weft.pc.in ${made}/weft.pc @ONLY)
install(FILES ${made}/weft.pc DESTINATION ${pkgconfig_folder} COMPONENT development)

# Schemas, for editors.
install(FILES mappings/mapping.schema.json host/recording/recording.schema.json
  DESTINATION ${CMAKE_INSTALL_DATADIR}/weft COMPONENT runtime)
install(FILES LICENSE CHANGELOG.md README.md DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT runtime)
# /usr/bin/weft and /etc/weft stand in these: the paths of this installation take their place, as they are said when it is
# installed.
function(weft_install_with_paths file destination)
  get_filename_component(name ${file} NAME)
  install(CODE "
    file(READ \"${PROJECT_SOURCE_DIR}/${file}\" text)
    get_filename_component(programs \"${CMAKE_INSTALL_BINDIR}\" ABSOLUTE BASE_DIR \"\${CMAKE_INSTALL_PREFIX}\")
    get_filename_component(settings \"${CMAKE_INSTALL_SYSCONFDIR}\" ABSOLUTE BASE_DIR \"\${CMAKE_INSTALL_PREFIX}\")
    if(settings STREQUAL \"/usr/etc\")
      set(settings /etc)
    endif()
    string(REPLACE /usr/bin/weft \"\${programs}/weft\" text \"\${text}\")
    string(REPLACE /etc/weft \"\${settings}/weft\" text \"\${text}\")
    file(WRITE \"${made}/${name}\" \"\${text}\")" COMPONENT runtime)
  install(FILES ${made}/${name} DESTINATION ${destination} COMPONENT runtime)
endfunction()
weft_install_with_paths(scripts/deploy/weft.service lib/systemd/system)
weft_install_with_paths(scripts/deploy/weft.socket lib/systemd/system)
weft_install_with_paths(scripts/deploy/weft.ini ${CMAKE_INSTALL_DOCDIR}/examples)
