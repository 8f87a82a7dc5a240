<%@ WebHandler Class="samples::RequestInfo, request_info" %>
