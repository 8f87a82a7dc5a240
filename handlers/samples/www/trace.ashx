<%@ WebHandler Class="weft::TraceHandler" %>
