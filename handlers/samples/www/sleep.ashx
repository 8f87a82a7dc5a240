<%@ WebHandler Class="samples::Sleep, waiting" %>
