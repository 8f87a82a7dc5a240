<%@ WebHandler Class="samples::JsonEcho, upload" %>
