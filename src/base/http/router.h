// File: base/http/router.h
//
// Maps method and path pattern to a handler: "/api/v1/jobs/{id}/logs". Unknown path 404, known path
// with another method 405 with Allow.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/http/server.h"

namespace oneai {

using PathParameters = std::map<std::string, std::string>;
using RouteHandler = std::function<void(const HttpRequest&, const PathParameters&, HttpResponder&)>;

// Filled before serving, then read-only.
class HttpRouter {
 public:
  void Handle(std::string method, std::string pattern, RouteHandler handler);
  // Called for GETs that no pattern matches (static files); default: 404.
  void HandleOther(HttpHandler handler);
  // Words the 404 and the 405; default: TextRefusal.
  void HandleRefusals(HttpRefusal refusal);
  void Serve(const HttpRequest& request, HttpResponder& responder) const;

 private:
  struct Route {
    std::string method;
    std::vector<std::string> segments;
    RouteHandler handler;
  };
  std::vector<Route> routes_;
  HttpHandler other_;
  HttpRefusal refusal_ = &TextRefusal;
};

}  // namespace oneai
