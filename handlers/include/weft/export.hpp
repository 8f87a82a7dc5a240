#pragma once

/// Marks what libweft exports. Everything else of the library is hidden.
#define WEFT_API __attribute__((visibility("default")))
