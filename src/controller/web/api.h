// File: controller/web/api.h
//
// The JSON API: each route is one call of a service, answered as the message's JSON with the
// proto's field names.
//
//   GET  /api/v1/me
//        /jobs?array_id=&limit=   /jobs/{id} and below it: /why /metrics /events
//        /logs?rank=&attempt=&offset=
//        /nodes /nodes/{name} /reservations /queues /endpoints /usage /usage/fabric?unit=
//        /models /datasets /rules /events /audit?before=&action=&resource= /audit/verify
//   GET  /api/v1/stream   server-sent events: `jobs`, `nodes`, `endpoints`, each the whole list
//        when it has changed
//   POST /api/v1/jobs/{id}/cancel {"reason":…}    /jobs/{id}/retry
//        /nodes/{name}/cordon {"reason":…}   /nodes/{name}/drain {"reason":…}
//        /nodes/{name}/uncordon (ends a drain, too)
#pragma once

#include <grpcpp/channel.h>

#include <atomic>
#include <memory>
#include <string>

#include "base/http/router.h"

namespace oneai {

// Adds the routes. `token_of` gives the session's token, or empty when there is no session (401).
void AddApiRoutes(HttpRouter& router, std::shared_ptr<grpc::Channel> controller,
                  std::string (*token_of)(const HttpRequest& request),
                  const std::atomic<bool>* stopping);

}  // namespace oneai
