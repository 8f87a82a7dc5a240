<%@ WebHandler Class="samples::Kv, kv" %>
