#pragma once

#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/system/error_code.hpp>
#include <boost/system/system_error.hpp>
#include <boost/version.hpp>
#include <concepts>
#include <exception>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>

#include <weft/cancellation.hpp>
#include <weft/detail/async_runtime.hpp>

/// Any Asio library as sequential code, in async handlers. Optional, and header only; link weft::asio, which compiles
/// Asio as the host does.
///
///     asio::ip::tcp::socket socket(weft::GetAsioExecutor());
///     const auto bytes = asio::async_read(socket, asio::buffer(text), weft::yield);
namespace weft {

using AsioExecutor = boost::asio::io_context::executor_type;

/// The executor of this worker's reactor, for the input and output objects of an async handler. Handlers of Asio's run on the
/// reactor's thread: they must not block, wait, or throw.
///
/// Throws std::logic_error where the caller is not an async handler, and where it was compiled with another version of Boost
/// than the host. Lifetime: the worker's; objects that outlive a request are made and used by async handlers alone.
inline AsioExecutor GetAsioExecutor() {
  auto* const context = detail::GetAsyncRuntime().AsioContext(BOOST_VERSION);
  if (context == nullptr) {
    throw std::logic_error("weft/asio.hpp: this module was compiled with Boost " BOOST_LIB_VERSION
                           ", the host with another version; compile it with the host's");
  }
  return static_cast<boost::asio::io_context*>(context)->get_executor();
}

/// The type of weft::yield.
class Yield {
 public:
  constexpr Yield() noexcept = default;

  /// The same, but an error of the operation is stored there instead of thrown.
  constexpr Yield operator[](boost::system::error_code& error) const noexcept {
    Yield yield;
    yield.error_ = &error;
    return yield;
  }

  boost::system::error_code* Error() const noexcept { return error_; }

 private:
  boost::system::error_code* error_ = nullptr;
};

/// Completion token: the fiber waits for the operation, whose result is returned; several are a std::tuple. Its error
/// is thrown as boost::system::system_error.
///
/// When the request is cancelled the operation is told so (per-operation cancellation, terminal), its end is waited
/// for, and OperationCancelled is thrown, unless it had succeeded by then. When it is cancelled already, OperationCancelled
/// is thrown, and the operation is not begun.
/// Threads: of async handlers alone.
inline constexpr Yield yield{};

namespace detail {

/// What an operation and the fiber that waits for it share; on the fiber's stack, for its end is waited for.
template <typename... Args>
class AsioWait {
 public:
  /// What the operation is given.
  class Handler {
   public:
    using executor_type = AsioExecutor;
    using cancellation_slot_type = boost::asio::cancellation_slot;

    explicit Handler(AsioWait& wait) noexcept : wait_(&wait) {}

    executor_type get_executor() const noexcept { return wait_->executor_; }
    cancellation_slot_type get_cancellation_slot() const noexcept { return wait_->signal_.slot(); }

    template <typename... Values>
    void operator()(Values&&... values) {
      wait_->result_.emplace(std::forward<Values>(values)...);
      // Says so as it goes.
      wait_.reset();
    }

   private:
    struct End {
      void operator()(AsioWait* wait) const noexcept {
        wait->ended_ = true;
        wait->point_->Notify();
      }
    };
    std::unique_ptr<AsioWait, End> wait_;
  };

  /// Throws OperationCancelled: an operation that needs not wait would succeed again and again.
  AsioWait()
      : point_(GetAsyncRuntime().MakeWaitPoint("an operation of Asio")),
        token_(GetAsyncRuntime().CurrentCancellation()) {
    if (token_.IsCancellationRequested()) {
      GetAsyncRuntime().Yield();
      token_.ThrowIfCancellationRequested();
    }
  }

  /// Waits for the operation; what it gave to its handler.
  std::tuple<Args...> Wait() {
    {
      const auto registration = token_.Register([point = point_] { point->Notify(); });
      while (!ended_ && !token_.IsCancellationRequested()) {
        WaitOnce();
      }
    }
    if (!ended_) {
      signal_.emit(boost::asio::cancellation_type::terminal);
      while (!ended_) {
        WaitOnce();
      }
    }
    if (!result_ || Failed(*result_)) {
      token_.ThrowIfCancellationRequested();
    }
    if (!result_) {
      throw std::logic_error("weft::yield: the operation was dropped without an end");
    }
    return std::move(*result_);
  }

 private:
  void WaitOnce() noexcept {
    static_cast<void>(point_->WaitUntil(IWaitPoint::Clock::time_point::max()));
  }

  static bool Failed(const std::tuple<>&) noexcept { return false; }
  template <typename First, typename... Rest>
  static bool Failed(const std::tuple<First, Rest...>& values) noexcept {
    if constexpr (std::same_as<First, boost::system::error_code> ||
                  std::same_as<First, std::exception_ptr>) {
      return static_cast<bool>(std::get<0>(values));
    } else {
      return false;
    }
  }

  std::shared_ptr<IWaitPoint> point_;
  CancellationToken token_;
  AsioExecutor executor_ = GetAsioExecutor();
  boost::asio::cancellation_signal signal_;
  bool ended_ = false;
  std::optional<std::tuple<Args...>> result_;
};

/// What is left of the values of an operation is what it returns.
template <typename... Values>
auto AsioResult(std::tuple<Values...>&& values) {
  if constexpr (sizeof...(Values) == 1) {
    return std::move(std::get<0>(values));
  } else if constexpr (sizeof...(Values) > 1) {
    return std::move(values);
  }
}

template <typename... Values>
auto CheckedAsioResult(Yield, std::tuple<Values...>&& values) {
  return AsioResult(std::move(values));
}
template <typename... Values>
auto CheckedAsioResult(Yield token, std::tuple<boost::system::error_code, Values...>&& values) {
  const auto error = std::get<0>(values);
  if (token.Error() != nullptr) {
    *token.Error() = error;
  } else if (error) {
    throw boost::system::system_error(error);
  }
  return AsioResult(std::apply(
      [](auto&, auto&... rest) { return std::tuple<Values...>(std::move(rest)...); }, values));
}
template <typename... Values>
auto CheckedAsioResult(Yield, std::tuple<std::exception_ptr, Values...>&& values) {
  if (std::get<0>(values)) {
    std::rethrow_exception(std::get<0>(values));
  }
  return AsioResult(std::apply(
      [](auto&, auto&... rest) { return std::tuple<Values...>(std::move(rest)...); }, values));
}

}  // namespace detail

}  // namespace weft

template <typename R, typename... Args>
class boost::asio::async_result<weft::Yield, R(Args...)> {
 public:
  /// Some functions of Asio and Beast (async_connect over several endpoints) are found by it alone.
  using return_type = decltype(weft::detail::CheckedAsioResult(
      weft::Yield(), std::declval<std::tuple<std::decay_t<Args>...>>()));

  template <typename Initiation, typename... InitArgs>
  static return_type initiate(Initiation&& initiation, weft::Yield token, InitArgs&&... args) {
    using Wait = weft::detail::AsioWait<std::decay_t<Args>...>;
    Wait wait;
    std::forward<Initiation>(initiation)(typename Wait::Handler(wait),
                                         std::forward<InitArgs>(args)...);
    return weft::detail::CheckedAsioResult(token, wait.Wait());
  }
};
