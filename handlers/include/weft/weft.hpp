#pragma once

/// Everything that a handler's source usually needs.
#include <weft/async.hpp>
#include <weft/cause.hpp>
#include <weft/http_context.hpp>
#include <weft/http_exception.hpp>
#include <weft/http_handler.hpp>
#include <weft/http_utility.hpp>
#include <weft/module.hpp>
