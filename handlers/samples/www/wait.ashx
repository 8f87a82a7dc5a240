<%@ WebHandler Class="samples::Wait, waiting" %>
