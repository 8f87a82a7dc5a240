<%@ WebHandler Class="samples::Proxy, proxy" %>
